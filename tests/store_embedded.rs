//! The embedded store, through its public face and with real processes.

use adprof::key::Key;
use adprof::patch::Patch;
use adprof::store::embedded::{Applied, Changes, Entry, Owner, Tag};
use adprof::store::{Embedded, Kind};
use adprof::value::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type States<'a> = Vec<(Key, Option<&'a [u8]>)>;

fn commit(owner: &mut Owner, states: States<'_>, meta: &[(&str, Option<&[u8]>)]) {
    owner.commit(Changes { at: 7, states, meta, ids: &[] }).expect("committed");
}

fn user(id: &str) -> Key {
    Key::user("", id)
}

fn patch(line: &str) -> Patch {
    Patch::parse(line).expect(line)
}

#[test]
fn what_is_committed_is_read_back_and_none_removes() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(&dir.path().join("s")).expect("created");
    let mut owner = store.begin_owner("test").expect("owned");
    let (a, b) = (user("a"), user("b"));
    let changes = Changes {
        at: 42,
        states: vec![(b.clone(), Some(&b"B"[..])), (a.clone(), Some(b"old")), (a.clone(), Some(b"A"))],
        meta: &[("offsets", Some(b"0:17"))],
        ids: &[("2026-11-20T10", Some(&[9; 5000])), ("2026-11-20T09", Some(b"x"))],
    };
    owner.commit(changes).expect("committed");
    let snapshot = store.snapshot().expect("a snapshot");
    assert_eq!(snapshot.state(&a).expect("read").as_deref(), Some(&b"A"[..]), "of one key the last change counts");
    assert_eq!(snapshot.meta("offsets").expect("read").as_deref(), Some(&b"0:17"[..]));
    assert_eq!(snapshot.ids_names().expect("read"), ["2026-11-20T09", "2026-11-20T10"]);
    assert_eq!(snapshot.ids("2026-11-20T10").expect("read"), Some(vec![9; 5000]));
    let stats = snapshot.stats().expect("read");
    assert_eq!((stats.states, stats.patched, stats.committed_at), (2, 0, Some(42)));

    commit(&mut owner, vec![(a.clone(), None), (user("never"), None)], &[("offsets", None)]);
    assert_eq!(snapshot.state(&a).expect("read").as_deref(), Some(&b"A"[..]), "a snapshot stays what it was");
    assert_eq!(store.state(&a).expect("read"), None);
    assert_eq!(store.meta("offsets").expect("read"), None);
    store.check().expect("whole");
}

/// The keys with a trace, in their order.
fn traced(store: &Embedded) -> Vec<String> {
    store.traces(100).expect("read").into_iter().map(|(trace, _)| trace.key.id().to_string()).collect()
}

#[test]
fn patches_leave_a_trace_for_the_owner_until_it_has_heard_the_last_of_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(&dir.path().join("s")).expect("created");
    let apply = |id: &str, as_of: i64| {
        let tags = vec![("ltv".into(), Some(Value::Int(as_of)))];
        store.apply_patches(&[Patch { key: user(id), as_of, tags }]).expect("applied");
    };
    apply("a", 1);
    assert_eq!(traced(&store), [""; 0], "nobody will ever ask");
    let mut owner = store.begin_owner("test").expect("owned");
    commit(&mut owner, vec![], &[]);
    let long = "l".repeat(700);
    for id in ["b", "a", &long, "c"] {
        apply(id, 2);
    }
    apply("a", 1);
    apply("c", 2);
    assert_eq!(traced(&store), ["a", "b", "c", &long]);
    assert_eq!(store.traces(2).expect("read").len(), 2);

    let heard = store.traces(100).expect("read");
    assert_eq!(heard[0].1[0], Tag { code: "ltv".into(), value: Some(Value::Int(2)), as_of: 2 });
    let heard: Vec<_> = heard.into_iter().map(|(trace, _)| trace).collect();
    // One changes once more before the owner commits what it has heard.
    apply("b", 3);
    let own = patch(r#"{"userId":"d","asOf":5,"tags":{"ltv":5}}"#);
    let nothing: States<'_> = vec![];
    owner.commit_given(Changes { at: 8, states: nothing, meta: &[], ids: &[] }, &[own], &heard).expect("committed");
    assert_eq!(traced(&store), ["b"], "its last change was not heard");
    assert_eq!(store.tags(&user("d")).expect("read")[0].as_of, 5, "and what came with the events leaves none");
    assert_eq!(store.stats().expect("read").committed_at, Some(8));
    store.check().expect("whole");
}

#[test]
fn a_store_that_is_not_there_is_said_so_and_not_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let absent = dir.path().join("none");
    assert_eq!(Embedded::open_existing(&absent).err().expect("none").kind, Kind::NoInput);
    assert!(!absent.exists() && !Embedded::exists(&absent));
}

#[test]
fn one_owner_at_a_time_and_the_second_is_told_who() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(dir.path()).expect("created");
    let owner = store.begin_owner("adprof stream").expect("owned");
    let error = store.begin_owner("adprof stream").err().expect("held");
    assert_eq!(error.kind, Kind::Busy);
    assert!(error.message.contains(&format!("`adprof stream, process {}`", std::process::id())), "{error}");
    // Patches need no ownership.
    store.apply_patches(&[patch(r#"{"userId":"a","asOf":1,"tags":{"x":1}}"#)]).expect("applied");
    drop(owner);
    store.begin_owner("adprof stream").expect("free again");
}

#[test]
fn patches_stand_beside_the_live_state_and_an_older_one_does_not_return() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(dir.path()).expect("created");
    let first = [
        patch(r#"{"userId":"b","asOf":5,"tags":{"ltv":1.5,"seg":"x"}}"#),
        patch(r#"{"userId":"a","asOf":5,"tags":{"ltv":2}}"#),
        patch(r#"{"userId":"b","asOf":6,"tags":{"seg":null}}"#),
    ];
    assert_eq!(store.apply_patches(&first).expect("applied"), Applied { keys: 2, tags: 4, older: 0 });
    let tags = store.tags(&user("b")).expect("read");
    let want = [
        Tag { code: "ltv".into(), value: Value::from_json("1.5").expect("a number"), as_of: 5 },
        Tag { code: "seg".into(), value: None, as_of: 6 },
    ];
    assert_eq!(tags, want);
    // The whole batch once more: only the removed tag's old value is refused, nothing changes.
    assert_eq!(store.apply_patches(&first).expect("applied"), Applied { keys: 2, tags: 3, older: 1 });
    assert_eq!(store.tags(&user("b")).expect("read"), want);
}

#[test]
fn a_scan_joins_state_and_tags_in_key_order_over_many_chunks() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(dir.path()).expect("created");
    let mut owner = store.begin_owner("test").expect("owned");
    // Two of three users have a state, two of three patches; long ids agree in their first 500 bytes.
    let long = "x".repeat(700);
    let mut want: BTreeMap<String, (bool, bool)> =
        (0..20_000).map(|i| (format!("u{i}"), (i % 3 != 0, i % 3 != 1))).collect();
    want.extend((0..50).map(|i| (format!("{long}{i}"), (i % 3 != 0, i % 3 != 1))));
    want.retain(|_, (state, tags)| *state || *tags);
    let states = want.iter().filter(|(_, has)| has.0).map(|(id, _)| (user(id), Some(id.as_bytes()))).collect();
    commit(&mut owner, states, &[]);
    let patched = want.iter().filter(|(_, has)| has.1);
    let as_patch = |id: &String| Patch {
        key: user(id),
        as_of: 1,
        tags: vec![("id".into(), Some(Value::Str(id.as_str().into())))],
    };
    store.apply_patches(&patched.map(|(id, _)| as_patch(id)).collect::<Vec<_>>()).expect("applied");
    // Neighbours that must not be met: another entity, another tenant, and keys around the prefix.
    let others = [Key::new("", "item", ["u1"]), Key::user("acme", "u1"), Key::new("acme", "item", ["i", "1"])];
    commit(&mut owner, others.iter().map(|key| (key.clone(), Some(&b"other"[..]))).collect(), &[]);

    let entries: Vec<Entry> = store.scan("", "user").collect::<Result<_, _>>().expect("scanned");
    let mut seen = BTreeMap::new();
    for entry in &entries {
        let id = entry.key.id();
        assert!(entry.state.as_ref().is_none_or(|state| state == id.as_bytes()));
        assert!(entry.tags.iter().all(|tag| tag.value == Some(Value::Str(id.into()))));
        seen.insert(id.to_string(), (entry.state.is_some(), !entry.tags.is_empty()));
    }
    assert_eq!(entries.len(), want.len(), "each key once");
    assert_eq!(seen, want);
    let short: Vec<&str> = entries.iter().map(|e| e.key.as_str()).filter(|k| k.len() < 500).collect();
    assert!(short.is_sorted());
    // A scan may be left anywhere.
    for n in [1, 8192, 8193, 17_000] {
        let begun: Vec<Entry> = store.scan("", "user").take(n).collect::<Result<_, _>>().expect("scanned");
        assert!(begun == entries[..n.min(entries.len())], "{n}");
    }
    let keys = |scan: adprof::store::embedded::Scan| scan.map(|e| e.expect("read").key).collect::<Vec<_>>();
    assert_eq!(keys(store.scan("", "item")), [others[0].clone()]);
    assert_eq!(keys(store.scan("acme", "user")), [others[1].clone()]);
    assert_eq!(keys(store.scan("nobody", "user")), []);
    assert_eq!(keys(store.scan_all()).len(), want.len() + 3);
    store.check().expect("whole");
}

#[test]
fn threads_may_open_and_close_the_same_store_at_will() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Embedded::create_or_open(dir.path()).expect("created"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let dir = dir.path();
            scope.spawn(move || {
                for i in 0..40 {
                    let store = Embedded::open_existing(dir).expect("opened");
                    let tags = vec![("n".into(), Some(Value::Int(i)))];
                    store
                        .apply_patches(&[Patch { key: user(&format!("{thread}-{i}")), as_of: 1, tags }])
                        .expect("applied");
                }
            });
        }
    });
    assert_eq!(Embedded::open_existing(dir.path()).expect("opened").scan("", "user").count(), 320);
}

// --- processes: this test binary runs itself as the writer ---

const CHILD_DIR: &str = "ADPROF_TEST_CHILD_DIR";
const CHILD_ROLE: &str = "ADPROF_TEST_CHILD_ROLE";
const ACCOUNTS: usize = 300;
const TOTAL: i64 = 1_000_000;

fn account(i: usize) -> Key {
    // Some keys are long, so that the hashed form is in play too.
    if i.is_multiple_of(10) { user(&format!("{i}{}", "-".repeat(600))) } else { user(&format!("account-{i}")) }
}

fn child(role: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "the_child_process", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Not a test of its own: what the other tests start.
#[test]
fn the_child_process() {
    let (Ok(dir), Ok(role)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_ROLE)) else { return };
    let store = Embedded::create_or_open(Path::new(&dir)).expect("opened");
    match role.as_str() {
        "writer" => write_for_ever(&store),
        "patcher" => patch_for_ever(&store),
        "stubborn" => commit_after_an_error(&store),
        _ => {
            let _owner = store.begin_owner("adprof stream").expect("owned");
            println!("owned");
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}

/// Moves amounts between accounts: every commit keeps their sum, and says its number afterwards.
fn write_for_ever(store: &Embedded) {
    let mut owner = store.begin_owner("writer").expect("owned");
    let mut random = u64::from(std::process::id());
    let mut next = move || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize
    };
    let keys: Vec<Key> = (0..ACCOUNTS).map(account).collect();
    let read = store.get_many(&keys).expect("read");
    let mut balances: Vec<i64> = read.iter().map(|e| balance(e.state.as_deref())).collect();
    if balances.iter().sum::<i64>() == 0 {
        balances[0] = TOTAL;
    }
    let mut number = balance(store.meta("number").expect("read").as_deref());
    loop {
        for _ in 0..next() % 200 {
            let (from, to, amount) = (next() % ACCOUNTS, next() % ACCOUNTS, (next() % 1000) as i64);
            balances[from] -= amount;
            balances[to] += amount;
        }
        number += 1;
        // The size varies, so that values move between pages and into overflow pages.
        let state = |i: usize| {
            let mut bytes = balances[i].to_le_bytes().to_vec();
            bytes.resize(8 + next() % if i.is_multiple_of(50) { 9000 } else { 100 }, 1);
            bytes
        };
        let states: Vec<_> = (0..ACCOUNTS).map(state).enumerate().map(|(i, s)| (keys[i].clone(), Some(s))).collect();
        let meta = [("number", Some(&number.to_le_bytes()[..]))];
        owner.commit(Changes { at: number, states, meta: &meta, ids: &[] }).expect("committed");
        println!("committed {number}");
    }
}

fn patch_for_ever(store: &Embedded) {
    for number in 1i64.. {
        let line = |i| Patch { key: account(i), as_of: number, tags: vec![("n".into(), Some(Value::Int(number)))] };
        store.apply_patches(&(0..ACCOUNTS).map(line).collect::<Vec<_>>()).expect("applied");
        println!("committed {number}");
    }
}

/// Commits until that fails, then once more, and says what came of both.
fn commit_after_an_error(store: &Embedded) {
    let mut owner = store.begin_owner("stubborn").expect("owned");
    let mut number = 0i64;
    let mut once = || {
        number += 1;
        let states = vec![(user("a"), Some(number.to_le_bytes()))];
        owner.commit(Changes { at: number, states, meta: &[], ids: &[] }).map(|()| number)
    };
    let mut last = 0;
    let first = loop {
        match once() {
            Ok(number) => last = number,
            Err(error) => break error,
        }
    };
    println!("after {last}: {first}; then: {}", once().expect_err("closed"));
}

fn balance(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(0, |b| i64::from_le_bytes(b[..8].try_into().expect("eight bytes")))
}

/// Reads everything in one snapshot; gives the number of the last commit and checks that it is whole.
fn read_whole(store: &Embedded) -> i64 {
    let snapshot = store.snapshot().expect("a snapshot");
    let number = balance(snapshot.meta("number").expect("read").as_deref());
    let entries: Vec<Entry> = (0..ACCOUNTS).map(|i| snapshot.entry(&account(i)).expect("read")).collect();
    let sum: i64 = entries.iter().map(|e| balance(e.state.as_deref())).sum();
    assert_eq!(sum, if number == 0 { 0 } else { TOTAL }, "commit {number} is torn");
    let patched: Vec<_> = entries.iter().map(|e| e.tags.clone()).collect();
    assert!(patched.windows(2).all(|pair| pair[0] == pair[1]), "a batch of patches is torn");
    number
}

/// The numbers a child has acknowledged, as they come.
fn acknowledged(child: &mut Child) -> std::sync::mpsc::Receiver<i64> {
    let (send, receive) = std::sync::mpsc::channel();
    let out = BufReader::new(child.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if let Some(number) = line.split("committed ").nth(1) {
                let _ = send.send(number.parse().expect("a number"));
            }
        }
    });
    receive
}

#[test]
fn a_writer_killed_at_any_time_leaves_every_acknowledged_commit_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut last = 0;
    for round in 0..20u64 {
        let mut writer = child("writer", dir.path());
        let mut patcher = child("patcher", dir.path());
        let (acks, patched) = (acknowledged(&mut writer), acknowledged(&mut patcher));
        let first = acks.recv_timeout(Duration::from_secs(30)).expect("the writer gets going");
        assert!(first > last, "round {round}: went back from {last} to {first}");
        patched.recv_timeout(Duration::from_secs(30)).expect("the patcher gets going");
        // Read beside both until the kill, whose instant is spread over the rounds.
        let until = Instant::now() + Duration::from_micros(1 + round * 3_700 % 50_000);
        let reader = Embedded::open_existing(dir.path()).expect("a reader opens at any time");
        while Instant::now() < until {
            read_whole(&reader);
        }
        writer.kill().expect("killed");
        patcher.kill().expect("killed");
        writer.wait().expect("ended");
        patcher.wait().expect("ended");
        let said = acks.into_iter().last().unwrap_or(first);
        last = read_whole(&reader);
        assert!(last >= said, "round {round}: {said} was acknowledged, {last} is there");
        reader.check().expect("whole");
        drop(reader);
        // Opened anew, as after a restart, it may show one commit more: one that was on the disk when its
        // writer died before it could tell the readers.
        let again = Embedded::open_existing(dir.path()).expect("opens again");
        assert!((last..=last + 1).contains(&read_whole(&again)));
    }
}

#[test]
fn a_creation_killed_at_any_time_can_be_taken_up_again() {
    for round in 0..20u64 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = child("writer", dir.path());
        // Starting takes some milliseconds; the first commits follow at once.
        let started = dir.path().join("data.mdb");
        while !started.exists() && writer.try_wait().expect("asked").is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(round * 150));
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        if let Err(error) = Embedded::open_existing(dir.path()) {
            assert_eq!(error.kind, Kind::NoInput, "round {round}: {error}");
        }
        let store = Embedded::create_or_open(dir.path()).expect("taken up");
        read_whole(&store);
        store.begin_owner("next").expect("free");
        Embedded::open_existing(dir.path()).expect("there now");
    }
}

#[test]
fn another_process_that_owns_the_store_is_named_and_its_death_frees_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut holder = child("holder", dir.path());
    let mut line = String::new();
    let mut out = BufReader::new(holder.stdout.take().expect("piped"));
    while !line.contains("owned") {
        line.clear();
        assert!(out.read_line(&mut line).expect("read") > 0, "the holder ended early");
    }
    let store = Embedded::open_existing(dir.path()).expect("opened");
    let error = store.begin_owner("adprof stream").err().expect("held");
    assert_eq!(error.kind, Kind::Busy);
    assert!(error.message.contains(&format!("process {}", holder.id())), "{error}");
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    store.begin_owner("adprof stream").expect("free again");
}

/// A file system of 600 KB in memory, where that may be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|s| s.success()).then(|| SmallDisk(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_said_so_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return eprintln!("skipped: mounting needs root") };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 420 << 10]).expect("written");
    let dir = disk.0.path().join("s");
    let store = Embedded::create_or_open(&dir).expect("created");
    let mut owner = store.begin_owner("test").expect("owned");
    commit(&mut owner, vec![(user("a"), Some(b"kept"))], &[]);
    let large = vec![7; 200 << 10];
    let change = || Changes { at: 8, states: vec![(user("b"), Some(&large))], meta: &[], ids: &[] };
    let error = owner.commit(change()).expect_err("no room");
    assert_eq!((error.kind, error.message.contains("the disk is full")), (Kind::Io, true), "{error}");
    assert_eq!(store.state(&user("a")).expect("read").as_deref(), Some(&b"kept"[..]));
    assert_eq!(store.stats().expect("read").committed_at, Some(7));
    fs::remove_file(&ballast).expect("removed");
    // The system may take a moment to give the room back.
    let until = Instant::now() + Duration::from_secs(5);
    while let Err(error) = owner.commit(change()) {
        assert!(Instant::now() < until, "room again: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.state(&user("b")).expect("read"), Some(large.clone()));
    store.check().expect("whole");
}

#[test]
fn after_a_sync_that_failed_nothing_more_is_written_and_the_last_commit_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let can = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: strace is not there or may not trace");
    }
    let fail_the_tenth = ["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=10"];
    let run = Command::new("strace")
        .args(fail_the_tenth)
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "the_child_process", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .env(CHILD_ROLE, "stubborn")
        .output();
    let output = run.expect("strace was there a moment ago");
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|l| l.split("after ").nth(1)).expect("an end");
    let (last, errors) = line.split_once(": ").expect("two parts");
    assert!(errors.contains("cannot commit") && errors.contains("; then: "), "{line}");
    assert!(errors.ends_with("an earlier write failed"), "{line}");
    let store = Embedded::open_existing(dir.path()).expect("opens");
    let last: i64 = last.parse().expect("a number");
    assert!(last > 0);
    assert_eq!(balance(store.state(&user("a")).expect("read").as_deref()), last);
    store.check().expect("whole");
}

// --- speed ---

#[test]
#[ignore = "a measurement: cargo test --release --test store_embedded -- --ignored --nocapture"]
fn how_fast_states_and_patches_are_written_and_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Embedded::create_or_open(dir.path()).expect("created");
    let mut owner = store.begin_owner("measure").expect("owned");
    let users = 1_000_000;
    let keys: Vec<Key> = (0..users).map(|i| user(&format!("u-{:07}", i * 7919 % users))).collect();
    let rate = |what: &str, count: usize, started: Instant| {
        let took = started.elapsed().as_secs_f64();
        println!("{what}: {:.0} k/s ({took:.2} s)", count as f64 / took / 1e3);
    };
    for (what, count) in [("first commit of 1 M states", users), ("100 k in a commit", 100_000), ("10 k", 10_000)] {
        let state = [count as u8; 60];
        let started = Instant::now();
        commit(&mut owner, keys[..count].iter().map(|key| (key.clone(), Some(&state[..]))).collect(), &[]);
        rate(what, count, started);
    }
    for as_of in [1, 2] {
        let tags = |i: usize| {
            vec![("ltv".into(), Some(Value::Int(i as i64))), ("seg".into(), Some(Value::Str("buyer".into())))]
        };
        let patches: Vec<Patch> = keys
            .iter()
            .take(500_000)
            .enumerate()
            .map(|(i, key)| Patch { key: key.clone(), as_of, tags: tags(i) })
            .collect();
        let started = Instant::now();
        for batch in patches.chunks(100_000) {
            store.apply_patches(batch).expect("applied");
        }
        rate("patches of two tags, 100 k a batch", patches.len(), started);
    }
    let started = Instant::now();
    for key in &keys[..300_000] {
        store.get_many([key]).expect("read");
    }
    rate("get of state and tags, a snapshot each", 300_000, started);
    let started = Instant::now();
    assert_eq!(store.scan("", "user").count(), users);
    rate("scan", users, started);
    let started = Instant::now();
    store.check().expect("whole");
    rate("check", users, started);
    println!("{:?}", store.stats().expect("read"));
}
