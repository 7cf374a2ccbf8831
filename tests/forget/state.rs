//! States and stores: with a stream on them and without.

use super::world::{DAY, FIRST, OTHERS, WHO, day, event, found};
use crate::streams::{counts, wait_until};
use crate::support::Dir;
use adprof::ledger::Ledger;
use adprof::store::Embedded;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Whoever has a value of this tag, which came as a patch.
const RICH: &str = "[[tag]]\ncode = \"ltv_total\"\ntype = \"decimal\"\nupdate = \"import\"\n\
                    [[segment]]\ncode = \"rich\"\nrule = \"ltv_total > 1\"\n";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_running_stream_drops_the_user_and_its_file_is_clean_when_it_is_started_again() {
    let dir = Dir::new();
    let mut stream = dir.start("stream --store file:s");
    stream.feed((0..3).map(day).collect::<String>());
    wait_until("a checkpoint", SOON, || Embedded::exists(&dir.file("s")) && counts(&dir.file("s"))[0] == 15);
    let patch = |user: &str| format!("{{\"userId\":\"{user}\",\"asOf\":{FIRST},\"tags\":{{\"ltv_total\":5}}}}\n");
    dir.adprof("sink file s").stdin(patch(WHO) + &patch("anna")).ok();
    dir.write("rich.toml", RICH);
    dir.adprof("segment build --store file:s -d rich.toml").ok();
    assert!(dir.adprof("segment members rich --built --store file:s -d rich.toml").ok().contains(WHO));
    let said = dir.adprof(&format!("forget {WHO} --store file:s")).exits(0).stderr;
    assert!(said.contains("s: dropped by the stream that owns it"), "{said}");
    assert!(said.contains("s: its index is gone"), "{said}");
    dir.adprof("segment members rich --built --store file:s -d rich.toml").exits(2);
    // While the stream goes on, a new one is marked by it as the first was.
    dir.adprof("segment build --store file:s -d rich.toml").ok();
    assert_eq!(dir.adprof("segment members rich --built --store file:s -d rich.toml").ok(), "anna\n");
    dir.adprof("segment index --drop --store file:s -d rich.toml").ok();
    let asked = dir.adprof("query --store file:s --format ndjson carol@example.org anna").ok();
    assert!(asked.contains("\"tags\":{}}") && asked.contains("\"ltv_total\":5"), "{asked}");
    // Old events again, and a patch between them.
    stream.feed(day(0) + &patch(WHO) + &event("new", "anna", FIRST + 3 * DAY) + &format!("{{\"userId\":\"{WHO}\"\n"));
    wait_until("the rest", SOON, || counts(&dir.file("s"))[0] == 23);
    stream.close();
    let (code, said) = stream.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("users forgotten: 1, of whom the state knew 1"), "{said}");
    let store = Embedded::open_existing(&dir.file("s")).expect("a store");
    let ledger = Ledger::read(&store.snapshot().expect("a snapshot")).expect("read").expect("a state");
    let counts = ledger.progress.counts;
    // Of the last eight lines: her event, the patch of hers, and the line that is none.
    assert_eq!((counts.forgotten, counts.refused, counts.absorbed, counts.duplicates), (3, 0, 16, 4));
    let sum = counts.absorbed + counts.duplicates + counts.covered + counts.refused + counts.given + counts.forgotten;
    assert_eq!(sum, counts.consumed);
    drop(store);
    // The stream starts again: what free pages kept is gone.
    dir.adprof("stream --store file:s").ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    let told = dir.adprof("export --store file:s --format ndjson").ok();
    assert_eq!(told.lines().count(), OTHERS.len(), "{told}");
    Embedded::check_files(&dir.file("s")).expect("whole");
}

#[test]
fn without_a_stream_the_file_is_written_anew_and_the_state_goes_on_where_it_was() {
    let dir = Dir::new();
    dir.adprof("stream --store file:s").stdin((0..3).map(day).collect::<String>()).ok();
    dir.adprof("stream --store file:twin").stdin((0..3).map(day).collect::<String>()).ok();
    dir.adprof("segment index --store file:s").ok();
    let said = dir.adprof(&format!("forget {WHO} --store file:s --store file:twin")).exits(0).stderr;
    assert_eq!(said.matches("written anew").count(), 2, "{said}");
    assert_eq!(said.matches("its index is gone").count(), 1, "{said}");
    assert!(dir.adprof("-v segment size --store file:s --where true").exits(0).stderr.contains("there is none"));
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    // What was read is remembered: the same lines are duplicates.
    let said = dir.adprof("stream --store file:s").stdin(day(2) + &event("n", "anna", FIRST + 3 * DAY)).exits(0).stderr;
    assert!(said.contains("1 events, 1 forgotten") || said.contains("4 duplicates"), "{said}");
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    Embedded::check_files(&dir.file("s")).expect("whole");
}

#[test]
fn bytes_that_a_removed_key_leaves_in_the_pages_of_a_store_are_gone() {
    let dir = Dir::new();
    // So many users that she is the first of a page, and named in the branches above.
    let users = |n: std::ops::Range<u32>| -> String {
        n.map(|i| event(&format!("b{i}"), &format!("carol@example.or{i:05}"), FIRST + i64::from(i))).collect()
    };
    dir.adprof("stream --store file:s").stdin(users(0..3000) + &event("c", WHO, FIRST) + &users(3000..6000)).ok();
    dir.adprof(&format!("forget {WHO} --store file:s")).ok();
    assert_eq!(found(&dir.file("s")), Vec::<PathBuf>::new());
    Embedded::check_files(&dir.file("s")).expect("whole");
    let said = dir.adprof("stream --store file:s").exits(0).stderr;
    assert!(said.contains("6,000 users"), "{said}");
}

#[test]
fn a_base_that_waits_to_be_installed_does_not_bring_the_user_back() {
    let dir = Dir::new();
    for n in 0..2 {
        dir.write(&format!("events/dt={}/web-00001.ndjson", super::world::name(n)), day(n));
    }
    dir.adprof("stream --store file:s").stdin(day(2)).ok();
    // Somebody owns the store: the base is left beside it.
    let lock = fs::File::options().write(true).open(dir.file("s/writer.lock")).expect("there");
    lock.lock().expect("locked");
    dir.adprof(&format!("batch --log events --through {} --store file:s", super::world::name(1))).ok();
    drop(lock);
    assert!(found(&dir.file("s/base")).len() == 1);
    dir.adprof(&format!("forget {WHO} --store file:s --log events")).ok();
    dir.adprof("stream --store file:s").ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    dir.adprof(&format!("batch --log events --through {} --store file:s", super::world::name(1))).ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
    let told = dir.adprof("export --store file:s --format ndjson").ok();
    assert_eq!(told.lines().count(), OTHERS.len(), "{told}");
}

#[test]
fn keys_of_one_user_go_with_her_and_tags_that_may_name_her_are_named() {
    let dir = Dir::new();
    dir.write(
        "adprof.toml",
        "[[entity]]\nname = \"pair\"\nkey = [\"userId\", \"itemId\"]\n[[entity]]\nname = \"item\"\nkey = \"itemId\"\n\
         [[tag]]\ncode = \"n\"\nentity = \"pair\"\nvalue = \"count(*)\"\n\
         [[tag]]\ncode = \"who\"\nentity = \"item\"\nvalue = \"first_k(userId, 3)\"\n",
    );
    dir.adprof("collect").stdin(day(0)).ok();
    dir.adprof("stream --store file:s").stdin(day(0)).ok();
    let said = dir.adprof(&format!("forget {WHO} --store file:s")).exits(0).stderr;
    assert!(said.contains("an id among their values: who: `adprof rebuild` makes them anew"), "{said}");
    let pairs = dir.adprof("export --store file:s --entity pair --format ndjson").ok();
    assert!(!pairs.contains(WHO) && pairs.lines().count() == OTHERS.len(), "{pairs}");
    dir.adprof("rebuild --store file:s").ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
}
