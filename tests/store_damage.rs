//! A damaged embedded store: an error, or every answer right; never a wrong one.

use adprof::key::Key;
use adprof::store::embedded::Changes;
use adprof::store::{Embedded, Kind};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn filled(dir: &Path) -> BTreeMap<Key, Vec<u8>> {
    let store = Embedded::create_or_open(dir).expect("created");
    let mut owner = store.begin_owner("test").expect("owned");
    let states: BTreeMap<Key, Vec<u8>> = (0..400u32)
        .map(|i| (Key::user("", &format!("u{i}")), vec![i as u8; if i.is_multiple_of(40) { 6000 } else { 60 }]))
        .collect();
    for part in 0..4 {
        let some = states.iter().skip(part * 100).take(100).map(|(k, v)| (k.clone(), Some(v.as_slice())));
        owner.commit(Changes { at: 7, states: some, meta: &[], ids: &[] }).expect("committed");
    }
    states
}

#[test]
fn a_store_cut_at_any_length_is_an_error_or_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let states = filled(dir.path());
    let data = dir.path().join("data.mdb");
    let whole = fs::read(&data).expect("read");
    let mut refused = 0;
    for len in (0..=whole.len()).step_by(1024) {
        fs::write(&data, &whole[..len]).expect("written");
        match Embedded::open_existing(dir.path()) {
            Err(error) => {
                assert_eq!(error.kind, Kind::Corrupt, "{len}: {error}");
                refused += 1;
            }
            Ok(store) => {
                let seen = store.scan_all().map(|e| e.map(|e| (e.key, e.state.expect("a state"))));
                assert_eq!(seen.collect::<Result<BTreeMap<_, _>, _>>().expect("read"), states, "{len}");
            }
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_flipped_byte_is_found_by_the_check_or_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let states = filled(dir.path());
    let data = dir.path().join("data.mdb");
    let whole = fs::read(&data).expect("read");
    let mut found = 0;
    for at in (0..whole.len()).step_by(29) {
        let file = fs::OpenOptions::new().write(true).open(&data).expect("opened");
        file.write_all_at(&[whole[at] ^ 0x55], at as u64).expect("written");
        // The check reads without mapping, so that a damaged page cannot end the process.
        match Embedded::check_files(dir.path()) {
            Err(error) => {
                assert_eq!(error.kind, Kind::Corrupt);
                found += 1;
            }
            Ok(()) => {
                let store = Embedded::open_existing(dir.path()).expect("opened");
                for entry in store.get_many(states.keys()).expect("read") {
                    assert_eq!(entry.state.as_ref(), states.get(&entry.key), "{at}");
                }
                let seen = store.scan_all().map(|e| e.map(|e| (e.key, e.state.expect("a state"))));
                assert_eq!(seen.collect::<Result<BTreeMap<_, _>, _>>().expect("read"), states, "{at}");
            }
        }
        file.write_all_at(&[whole[at]], at as u64).expect("written");
    }
    assert!(found > 100, "{found}");
}
