//! How fast the bytes of a file can be had at all: counts newlines by `memchr` over 512 KiB blocks read with pread.
//!
//!   cargo bench --bench newlines -- FILE [--threads N]
//!
//! Prints `{"newlines":…,"bytes":…,"seconds":…}`; the ceiling of any reader of lines, for scripts/bench-cliffs.sh.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const BLOCK: u64 = 512 * 1024;

fn main() {
    // Cargo adds --bench of its own.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut path, mut threads) = (None, 2usize);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" => threads = args.next().and_then(|n| n.parse().ok()).unwrap_or_else(usage),
            _ => path = Some(arg),
        }
    }
    // `cargo bench` and `cargo test --benches` run every bench: without a file there is nothing to read.
    let Some(path) = path else { return };
    match scan(&path, threads) {
        Ok(line) => println!("{line}"),
        Err(e) => {
            eprintln!("newlines: {path}: {e}");
            exit(74);
        }
    }
}

fn usage() -> usize {
    eprintln!("usage: newlines FILE [--threads N]");
    exit(2)
}

fn scan(path: &str, threads: usize) -> io::Result<String> {
    let began = Instant::now();
    let file = File::open(path)?;
    let (next, bytes) = (AtomicU64::new(0), file.metadata()?.len());
    let newlines = std::thread::scope(|scope| {
        let count = || count(&file, &next, bytes);
        let others: Vec<_> = (1..threads.max(1)).map(|_| scope.spawn(count)).collect();
        let mut sum = count()?;
        for other in others {
            sum += other.join().expect("counting does not panic")?;
        }
        io::Result::Ok(sum)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!("{{\"newlines\":{newlines},\"bytes\":{bytes},\"seconds\":{seconds:.6}}}"))
}

/// The newlines of the blocks that this thread gets hold of.
fn count(file: &File, next: &AtomicU64, bytes: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK as usize];
    let mut found = 0;
    loop {
        let at = next.fetch_add(BLOCK, Ordering::Relaxed);
        if at >= bytes {
            return Ok(found);
        }
        let len = BLOCK.min(bytes - at) as usize;
        file.read_exact_at(&mut block[..len], at)?;
        found += memchr::memchr_iter(b'\n', &block[..len]).count() as u64;
    }
}
