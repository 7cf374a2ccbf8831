//! Work on numbered parts by several threads, with the results taken in the order of the numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

/// Does `work` for each of `0..n` on `threads` threads and gives the results to `take` in their order.
///
/// The first error in this order ends it. At most twice as many results as threads wait for their turn to be taken.
pub fn ordered<T: Send, E: Send>(
    threads: usize,
    n: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(threads.max(1) * 2);
        let (next, work) = (&next, &work);
        for _ in 0..threads.clamp(1, n.max(1)) {
            let send = send.clone();
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    // An error hangs up the channel: nothing is left to do.
                    if i >= n || send.send((i, work(i))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (i, result) in receive {
            waiting.insert(i, result);
            while let Some(result) = waiting.remove(&turn) {
                take(turn, result?)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

/// The results of all parts, in their order, or the first error in it.
pub fn all<T: Send, E: Send>(
    threads: usize,
    n: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    fed(threads, n, Ok, work)
}

/// The same where the caller's thread makes each part first, which others cannot do; then it helps them.
pub fn fed<I: Send, T: Send, E: Send>(
    threads: usize,
    n: usize,
    make: impl FnMut(usize) -> Result<I, E>,
    work: impl Fn(I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (send, receive) = mpsc::channel();
    let receive = Mutex::new(receive);
    let take = || receive.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let share = || std::iter::from_fn(take).map(|(i, part)| (i, work(part))).collect::<Vec<_>>();
    let (made, mut results) = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(n)).map(|_| scope.spawn(share)).collect();
        let made = (0..n).map(make).enumerate().try_for_each(|(i, part)| {
            // It is received as long as there is a receiver, which is here.
            let _ = send.send((i, part?));
            Ok(())
        });
        // Nothing comes any more: whoever finds nothing is done.
        drop(send);
        let mut results = share();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        (made, results)
    });
    made?;
    results.sort_unstable_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How many threads the machine runs at a time.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        for threads in [1, 2, 7] {
            let squares: Result<Vec<usize>, usize> = all(threads, 100, |i| Ok(i * i));
            assert_eq!(squares, Ok((0..100).map(|i| i * i).collect()));
            let failed: Result<Vec<usize>, usize> = all(threads, 100, |i| if i % 30 == 29 { Err(i) } else { Ok(i) });
            assert_eq!(failed, Err(29));
            assert_eq!(all::<usize, usize>(threads, 0, Ok), Ok(Vec::new()));
            let here = std::thread::current().id();
            let make = |i: usize| {
                assert_eq!(std::thread::current().id(), here);
                if i < 50 { Ok(i.to_string()) } else { Err(i) }
            };
            let parse = |part: String| part.parse::<usize>().map_err(|_| 0);
            assert_eq!(fed(threads, 40, make, parse), Ok((0..40).collect()));
            assert_eq!(fed(threads, 60, make, parse), Err(50));
        }
    }
}
