//! Patches into Redis: atomic batches, plainly or under a token that fences other writers.
//!
//! A batch is MULTI … EXEC: readers see all of it or nothing. One profile of the wrong type
//! is reported and does not hold up the others.

use super::fault::Fault;
use super::{Link, Redis, dump, resp};
use crate::key::{Key, Prefixes};
use crate::patch::Patch;
use crate::store::error::Error;
use ::redis::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A batch ends at this many patches or bytes, whichever comes first.
const BATCH_PATCHES: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// How long a probe stays, at most.
const PROBE_MS: &[u8] = b"1000";
/// What a patch mostly takes at most.
const PATCH_BYTES: usize = 256;
/// Patience begins anew after this many patches: a server that comes and goes is still of use.
const STRETCH: usize = 20_000;

/// What became of some patches.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Written {
    /// Patches that are in Redis now.
    pub patches: usize,
    /// Those that Redis refused for their own sake.
    pub refused: Vec<Refused>,
    /// The places of those encoded as new that were not: to be encoded as others are, and written again.
    pub again: Vec<usize>,
}

/// A key whose patch could not be written: what stands under its name is no HASH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub key: Key,
    /// For people; the key is not in it.
    pub why: String,
}

/// What became of a batch under a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Published {
    Applied(Written),
    /// Nothing was written: the token is another one, or gone.
    Fenced {
        found: Option<String>,
    },
    /// Of a cluster alone: a slot has lost what was written there, and some of the patches may be in.
    Lost,
}

/// A token that is being watched, and its value when the watch began.
pub(super) struct Watch {
    token: String,
    found: Option<String>,
    /// Whether it began in this very call; an older one may have been overtaken.
    fresh: bool,
}

impl Redis {
    /// Writes patches in order, in batches; returns when Redis has acknowledged all of them.
    ///
    /// After a lost connection what was not acknowledged is sent again: the values are absolute. On an error
    /// some of the patches may have been written. A timed-out batch that the network still delivers later can
    /// overtake a newer one: where that matters write under a token.
    pub fn apply(&mut self, patches: &[Patch]) -> Result<Written, Error> {
        let mut written = Written::default();
        if self.cluster.is_some() {
            for stretch in patches.chunks(STRETCH) {
                let part = self.in_cluster(|cluster, names| {
                    let mut part = Written::default();
                    cluster.apply(stretch, names, &mut part).map(|()| part)
                })?;
                written.patches += part.patches;
                written.refused.extend(part.refused);
            }
            return Ok(written);
        }
        for stretch in patches.chunks(STRETCH) {
            self.look_for_another();
            let mut done = 0;
            self.patiently(|link| {
                link.unwatch()?;
                link.apply(stretch, &mut done, &mut written)
            })?;
        }
        Ok(written)
    }

    /// Writes patches and `new` as the token in one transaction, if the token is `expected` (`None`: not there).
    ///
    /// Between the check and the writes no other client can change the token. After an unknown outcome the token is read
    /// back: `new` in it means that the batch is in. So `new` must differ from every token before it.
    pub fn apply_with_token(
        &mut self,
        patches: &[Patch],
        token: &str,
        expected: Option<&str>,
        new: &str,
    ) -> Result<Published, Error> {
        if self.cluster.is_some() {
            return self.in_cluster(|cluster, names| cluster.publish(patches, names, token, expected, new));
        }
        let encoded = Encoder { names: self.names.clone(), as_new: false }.encode(patches);
        self.apply_encoded(patches, &encoded, token, expected, new, &mut || None)
    }

    /// The same of patches that are encoded already. `next` is called while the server works: what it gives is sent to be
    /// queued there, so that the server need not wait for it, and is written only by a call with the same commands.
    pub fn apply_encoded(
        &mut self,
        patches: &[Patch],
        encoded: &Encoded,
        token: &str,
        expected: Option<&str>,
        new: &str,
        next: &mut dyn FnMut() -> Option<Arc<Encoded>>,
    ) -> Result<Published, Error> {
        self.look_for_another();
        let mut sent = false;
        self.on_link(|link| {
            let mut batch = Writes { patches, encoded, next: &mut *next };
            link.publish(&mut batch, token, expected, new, &mut sent)
        })
    }

    /// What encodes patches early; `None` in a cluster, where they go slot by slot. `as_new`: for a server that takes it
    /// ([`Redis::takes_new`]) and mostly has none of them, which is half the work for it; each key at most once in a call.
    pub fn encoder(&self, as_new: bool) -> Option<Encoder> {
        self.cluster.is_none().then(|| Encoder { names: self.names.clone(), as_new })
    }

    /// Whether the server takes what is encoded as new: tried under a name that begins with `name` and is gone afterwards.
    /// It does not before version 7.0, without the right to RESTORE, or where it is something else than Redis. Of a
    /// cluster it is not asked.
    pub fn takes_new(&mut self, name: &str) -> Result<bool, Error> {
        if self.cluster.is_some() {
            return Ok(false);
        }
        let (name, field, value) = (format!("{name}:probe"), b"n", b"7");
        let dump = dump::sample(field, value);
        self.patiently(|link| {
            resp::command(&mut link.buffer, &[b"RESTORE", name.as_bytes(), PROBE_MS, &dump, b"REPLACE"]);
            resp::command(&mut link.buffer, &[b"HGETALL", name.as_bytes()]);
            resp::command(&mut link.buffer, &[b"HDEL", name.as_bytes(), field]);
            link.send()?;
            let restored = link.receive_any()?;
            let shown = link.receive_any()?;
            link.receive_any()?;
            let expected = [field, value].map(|text| Value::BulkString(text.to_vec()));
            Ok(restored == Value::Okay && shown == Value::Array(expected.into()))
        })
    }

    /// The number of the newest claim on `token` that a slot of a cluster knows of; `None` for a single server, where the
    /// token alone decides.
    pub fn newest_claim(&mut self, token: &str) -> Result<Option<u64>, Error> {
        if self.cluster.is_none() {
            return Ok(None);
        }
        self.in_cluster(|cluster, _| cluster.newest_claim(token)).map(Some)
    }

    /// Takes every slot of a cluster for the claim `number` of `state`: false when a later one has been faster.
    /// From then on no older claim writes anywhere. Of a single server there is nothing to take.
    pub fn hold(&mut self, token: &str, number: u64, state: &str) -> Result<bool, Error> {
        if self.cluster.is_none() {
            return Ok(true);
        }
        self.in_cluster(|cluster, _| cluster.hold(token, number, state))
    }

    /// The token's value; `None` when it is not there.
    pub fn token(&mut self, token: &str) -> Result<Option<String>, Error> {
        if self.cluster.is_some() {
            return self.in_cluster(|cluster, _| cluster.get(token));
        }
        self.patiently(|link| {
            resp::command(&mut link.buffer, &[b"GET", token.as_bytes()]);
            link.send()?;
            text(link.receive()?)
        })
    }
}

/// Encodes patches for [`Redis::apply_encoded`], on any thread and while the server is busy.
pub struct Encoder {
    names: Arc<Prefixes>,
    as_new: bool,
}

/// Patches as commands.
pub struct Encoded {
    /// Tells it from all others.
    number: u64,
    /// MULTI and the commands.
    bytes: Vec<u8>,
    /// For each command the patch it belongs to.
    commands: Vec<usize>,
    as_new: bool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Encoder {
    pub fn encode(&self, patches: &[Patch]) -> Encoded {
        let mut bytes = Vec::with_capacity(PATCH_BYTES * (patches.len() + 1));
        let mut commands = Vec::with_capacity(patches.len() * 2);
        resp::command(&mut bytes, &[b"MULTI"]);
        let (mut scratch, mut dump) = (Vec::new(), dump::Scratch::default());
        for (i, patch) in patches.iter().enumerate() {
            let count = match self.as_new && dump::restore(&mut bytes, patch, &self.names, &mut dump) {
                true => 1,
                false => resp::patch(&mut bytes, patch, &self.names, &mut scratch),
            };
            commands.extend(std::iter::repeat_n(i, count));
        }
        Encoded { number: NUMBERS.fetch_add(1, Ordering::Relaxed), bytes, commands, as_new: self.as_new }
    }
}

/// What is to be written under a token.
struct Writes<'a> {
    patches: &'a [Patch],
    encoded: &'a Encoded,
    next: &'a mut dyn FnMut() -> Option<Arc<Encoded>>,
}

/// Commands that the server has queued behind a MULTI, under the watch: their answers are still to be received.
pub(super) struct Queued {
    /// Of the `Encoded`.
    number: u64,
    commands: usize,
}

/// A batch on its way: the patches `start..end`, and for each command the patch it belongs to.
struct Batch {
    end: usize,
    commands: Vec<usize>,
}

impl Link {
    /// Writes `patches[*done..]`, with one batch on its way while the next is encoded; `done` follows the answers.
    fn apply(&mut self, patches: &[Patch], done: &mut usize, written: &mut Written) -> Result<(), Fault> {
        let mut scratch = Vec::new();
        let mut next = *done;
        let mut on_its_way: Option<Batch> = None;
        while next < patches.len() || on_its_way.is_some() {
            let batch = (next < patches.len()).then(|| {
                resp::command(&mut self.buffer, &[b"MULTI"]);
                let batch = self.encode(patches, next, BATCH_PATCHES, &mut scratch);
                resp::command(&mut self.buffer, &[b"EXEC"]);
                next = batch.end;
                batch
            });
            if batch.is_some() {
                self.send()?;
            }
            if let Some(before) = on_its_way.take() {
                let answers = self.answers(before.commands.len())?.ok_or_else(|| Fault::unexpected("EXEC"))?;
                account(&answers, &before.commands, patches, before.end - *done, false, written)?;
                *done = before.end;
            }
            on_its_way = batch;
        }
        Ok(())
    }

    /// Encodes patches from `start` on into the buffer.
    fn encode(&mut self, patches: &[Patch], start: usize, most: usize, scratch: &mut Vec<u8>) -> Batch {
        let mut commands = Vec::with_capacity(most.min(patches.len() - start));
        let mut end = start;
        while end < patches.len() && end - start < most && self.buffer.len() < BATCH_BYTES {
            let count = resp::patch(&mut self.buffer, &patches[end], &self.names, scratch);
            commands.extend(std::iter::repeat_n(end, count));
            end += 1;
        }
        Batch { end, commands }
    }

    /// Reads the answers to MULTI, `count` commands and EXEC; `None` when a watched key had changed.
    fn answers(&mut self, count: usize) -> Result<Option<Vec<Value>>, Fault> {
        let mut refused = None;
        for _ in 0..count + 1 {
            if let Value::ServerError(error) = self.receive_any()? {
                refused.get_or_insert(error);
            }
        }
        let exec = self.receive_any()?;
        // The first refusal says more than the EXECABORT that follows it.
        if let Some(error) = refused {
            return Err(Fault::of_server(&error));
        }
        match exec {
            Value::Array(answers) if answers.len() == count => Ok(Some(answers)),
            Value::Nil => Ok(None),
            Value::ServerError(error) => Err(Fault::of_server(&error)),
            _ => Err(Fault::unexpected("EXEC")),
        }
    }

    fn publish(
        &mut self,
        batch: &mut Writes<'_>,
        token: &str,
        expected: Option<&str>,
        new: &str,
        sent: &mut bool,
    ) -> Result<Published, Fault> {
        loop {
            if self.queued.as_ref().is_some_and(|queued| queued.number != batch.encoded.number) {
                self.discard()?;
            }
            let watch = match self.watch.take() {
                Some(watch) if watch.token == token => watch,
                _ => self.begin_watch(token)?,
            };
            // Our own token is there: the batch whose outcome was unknown is in. Writing it once more changes
            // nothing and tells what was refused.
            let own = *sent && watch.found.as_deref() == Some(new);
            if !own && watch.found.as_deref() != expected {
                if watch.fresh {
                    let found = watch.found.clone();
                    // Left on until the next call, which begins a new one.
                    self.watch = Some(Watch { fresh: false, ..watch });
                    return Ok(Published::Fenced { found });
                }
                continue;
            }
            *sent = true;
            if let Some(written) = self.transaction(batch, token, new)? {
                return Ok(Published::Applied(written));
            }
        }
    }

    /// Drops what the server has queued; that ends the watch, too.
    pub(super) fn discard(&mut self) -> Result<(), Fault> {
        let Some(queued) = self.queued.take() else { return Ok(()) };
        self.watch = None;
        resp::command(&mut self.buffer, &[b"DISCARD"]);
        self.send()?;
        // MULTI's and theirs; a command that was refused is none of the queue.
        for _ in 0..queued.commands + 1 {
            self.receive_any()?;
        }
        self.receive().map(|_| ())
    }

    /// WATCH and GET.
    fn begin_watch(&mut self, token: &str) -> Result<Watch, Fault> {
        self.discard()?;
        resp::command(&mut self.buffer, &[b"UNWATCH"]);
        resp::command(&mut self.buffer, &[b"WATCH", token.as_bytes()]);
        resp::command(&mut self.buffer, &[b"GET", token.as_bytes()]);
        self.send()?;
        self.receive()?;
        self.receive()?;
        let found = text(self.receive()?)?;
        Ok(Watch { token: token.into(), found, fresh: true })
    }

    /// Sends the batch and the token, and behind them the watch for the next: one round trip a batch. While the server works
    /// it gets the commands of the next batch as well, which it queues until the answers were looked at.
    ///
    /// `None` when the token changed since the watch began; the new watch is then to be looked at.
    fn transaction(&mut self, batch: &mut Writes<'_>, token: &str, new: &str) -> Result<Option<Written>, Fault> {
        let Writes { patches, encoded: Encoded { bytes, commands, as_new, .. }, next } = batch;
        // What is queued is this batch.
        if self.queued.take().is_none() {
            self.buffer.extend_from_slice(bytes);
        }
        resp::command(&mut self.buffer, &[b"SET", token.as_bytes(), new.as_bytes()]);
        resp::command(&mut self.buffer, &[b"EXEC"]);
        resp::command(&mut self.buffer, &[b"WATCH", token.as_bytes()]);
        resp::command(&mut self.buffer, &[b"GET", token.as_bytes()]);
        self.send()?;
        if let Some(next) = next() {
            self.connection.send_packed_command(&next.bytes)?;
            self.queued = Some(Queued { number: next.number, commands: next.commands.len() });
        }
        let answers = self.answers(commands.len() + 1)?;
        self.receive()?;
        let found = text(self.receive()?)?;
        self.watch = Some(Watch { token: token.into(), found, fresh: answers.is_none() });
        let Some(answers) = answers else { return Ok(None) };
        if let Some(Value::ServerError(error)) = answers.last() {
            return Err(Fault::of_server(error).lasting());
        }
        let mut written = Written::default();
        account(&answers[..commands.len()], commands, patches, patches.len(), *as_new, &mut written)?;
        Ok(Some(written))
    }

    /// Ends a watch, which would otherwise decide about the next EXEC.
    fn unwatch(&mut self) -> Result<(), Fault> {
        if self.watch.take().is_some() {
            resp::command(&mut self.buffer, &[b"UNWATCH"]);
            self.send()?;
            self.receive()?;
        }
        Ok(())
    }
}

/// Counts `count` patches as written, but for those that an answer refuses for their own sake, and those that are not new.
fn account(
    answers: &[Value],
    commands: &[usize],
    patches: &[Patch],
    count: usize,
    as_new: bool,
    written: &mut Written,
) -> Result<(), Fault> {
    let mut refused: Vec<usize> = Vec::new();
    for (answer, &patch) in answers.iter().zip(commands) {
        let Value::ServerError(error) = answer else { continue };
        match error.code() {
            // HSET and HDEL of one patch fail together.
            "WRONGTYPE" if refused.last() == Some(&patch) => {}
            "WRONGTYPE" => refused.push(patch),
            // Something stands there, or this server does not take the form: another than the one that was asked.
            "BUSYKEY" | "ERR" if as_new && written.again.last() == Some(&patch) => {}
            "BUSYKEY" | "ERR" if as_new => written.again.push(patch),
            // The rest of the batch is in: sending it again would not help this one.
            _ => return Err(Fault::of_server(error).lasting()),
        }
    }
    written.patches += count - refused.len() - written.again.len();
    written
        .refused
        .extend(refused.into_iter().map(|i| Refused { key: patches[i].key.clone(), why: NOT_A_HASH.into() }));
    Ok(())
}

pub(super) const NOT_A_HASH: &str = "what stands under its name in Redis is not a HASH";

fn text(value: Value) -> Result<Option<String>, Fault> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        _ => Err(Fault::unexpected("GET").lasting()),
    }
}
