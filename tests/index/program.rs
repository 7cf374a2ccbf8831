//! The index through the program: built, told, refreshed, checked, removed, and damaged.

use crate::store::{DEFINITIONS, fill, three};
use crate::support::Dir;

fn indexed() -> Dir {
    let dir = three();
    dir.write("adprof.toml", format!("{DEFINITIONS}[[segment]]\ncode = \"adults\"\nrule = \"age >= 18\"\n"));
    let out = dir.adprof("segment index").output();
    assert!(out.stderr.contains("the index has 3 users: 3 new, 1 of 1 blocks written"), "{}", out.stderr);
    dir
}

#[test]
fn commands_answer_by_the_index_and_say_so() {
    let dir = indexed();
    for (args, want) in [
        ("-v segment size adults", "1\n"),
        ("-v segment members adults", "u-001\n"),
        ("-v export --segment adults --tags age", "userId,age\nu-001,31\n"),
    ] {
        let out = dir.adprof(args).output();
        assert_eq!(out.stdout, want);
        assert!(out.stderr.contains("by the index, and 0 keys one by one"), "{args}: {}", out.stderr);
        let scan = dir.adprof(args).arg("--scan").output();
        assert_eq!(scan.stdout, want);
        assert!(!scan.stderr.contains("by the index"), "{args}: {}", scan.stderr);
    }
    fill(&dir, &[r#"{"userId":"u-002","asOf":1731296325001,"tags":{"age":40}}"#]);
    let out = dir.adprof("-v segment members adults").output();
    assert_eq!(out.stdout, "u-001\nu-002\n");
    assert!(out.stderr.contains("and 1 keys one by one"), "{}", out.stderr);
    let out = dir.adprof("segment index --check").output();
    assert!(out.stderr.contains("2 keys compared, 1 more are answered one by one"), "{}", out.stderr);
    dir.adprof("segment index").ok();
    let out = dir.adprof("-v segment size adults --format ndjson").output();
    assert!(out.stdout.ends_with("\"size\":2,\"of\":3}\n"), "{}", out.stdout);
    assert!(out.stderr.contains("and 0 keys one by one"), "{}", out.stderr);
    dir.adprof("segment index --drop").ok();
    let out = dir.adprof("-v segment size adults").output();
    assert_eq!(out.stdout, "2\n");
    assert!(out.stderr.contains("by a scan: of an index, there is none"), "{}", out.stderr);
}

#[test]
fn sink_brings_an_index_up_to_date_and_makes_none() {
    let dir = indexed();
    let patch = r#"{"userId":"u-009","asOf":1731296325001,"tags":{"age":44}}"#;
    let out = dir.adprof("sink file").stdin(format!("{patch}\n")).output();
    assert!(out.stderr.contains("the index has 4 users"), "{}", out.stderr);
    let out = dir.adprof("-v segment members adults").output();
    assert_eq!(out.stdout, "u-001\nu-009\n");
    assert!(out.stderr.contains("and 0 keys one by one"), "{}", out.stderr);
    // By whoever does not know what the tags are, it is not made anew.
    dir.write("other.toml", DEFINITIONS.replace("\"int\"", "\"string\""));
    let out = dir.adprof("-v sink file -d other.toml").stdin(format!("{}\n", patch.replace("001", "002"))).output();
    assert!(out.stderr.contains("the index is of other definitions"), "{}", out.stderr);
    let out = dir.adprof("-v segment members adults").output();
    assert_eq!(out.stdout, "u-001\nu-009\n");
    assert!(out.stderr.contains("and 1 keys one by one"), "{}", out.stderr);
    let bare = three();
    let out = bare.adprof("sink file").stdin(format!("{patch}\n")).output();
    assert!(!out.stderr.contains("index"), "{}", out.stderr);
}

/// The bytes of a store with a bit of a value in a column flipped, wherever a page has it: some are of before.
fn damaged(bytes: &[u8], column: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    for at in (0..bytes.len() - 300).filter(|at| bytes[*at..].starts_with(column)) {
        if let Some(within) = bytes[at..at + 300].windows(value.len()).position(|window| window == value) {
            bad[at + within] ^= 1;
        }
    }
    assert_ne!(bad, bytes);
    bad
}

#[test]
fn what_is_broken_is_mended_by_what_the_hint_says() {
    let dir = indexed();
    dir.adprof("segment build").ok();
    let store = adprof::store::Embedded::open_existing(&dir.file("adprof-store")).expect("a store");
    let spoil = |name: &str| store.index(|index| index.put(name, Some(b"?"))).expect("written");
    for name in ["audience\0adults\x0000000001", "builds\0adults"] {
        spoil(name);
        let out = dir.adprof("segment members adults --built").exits(74);
        assert!(out.stderr.contains("hint: build it anew: adprof segment build adults"), "{}", out.stderr);
        dir.adprof("segment build adults").ok();
        assert_eq!(dir.adprof("segment members adults --built").ok(), "u-001\n");
    }
    let mended_by =
        [("keys\0user\x0000000000", "--anew"), ("block\0user\x0000000000", "--quiet"), ("head\0user", "--anew")];
    for (name, flag) in mended_by {
        spoil(name);
        let out = dir.adprof("segment members adults").exits(74);
        assert!(out.stderr.contains("hint: make it anew: adprof segment index --anew"), "{name:?}: {}", out.stderr);
        dir.adprof("segment index").arg(flag).ok();
        assert_eq!(dir.adprof("segment members adults").ok(), "u-001\n");
        dir.adprof("segment index --check").ok();
    }
}

#[test]
fn verify_compares_the_index_of_a_store_with_it() {
    let dir = Dir::new();
    let event = |user: &str, kind: &str| {
        format!(
            "{{\"eventId\":\"{user}-{kind}\",\"userId\":\"{user}\",\"eventType\":\"{kind}\",\"category\":\"sports\",\"timestamp\":1731196800000,\"receivedAt\":1731196800000}}\n"
        )
    };
    dir.write("ad-events.log", event("u-1", "click") + &event("u-2", "view"));
    dir.adprof("stream --store file:s").stdin(dir.read("ad-events.log")).ok();
    let bare = dir.adprof("verify --store file:s").output();
    assert!(bare.stderr.contains("no difference") && !bare.stderr.contains("index"), "{}", bare.stderr);
    dir.adprof("segment index --store file:s").ok();
    let good = dir.adprof("verify --store file:s").output();
    assert!(good.stderr.contains("the index: 2 keys compared, 0 more"), "{}", good.stderr);
    let file = dir.file("s/data.mdb");
    let bytes = std::fs::read(&file).expect("read");
    let bad = damaged(&bytes, b"column\0user\x0000000000\0last_click_category", b"sports");
    std::fs::write(&file, bad).expect("written");
    let out = dir.adprof("verify --store file:s").exits(1);
    assert_eq!(out.stdout, "{\"block\":0,\"tag\":\"last_click_category\",\"difference\":\"broken\"}\n");
    assert!(out.stderr.contains("values compared, without") && out.stderr.contains("1 differences"), "{}", out.stderr);
    // A part of it is asked for, which is not the index.
    dir.adprof("verify --store file:s --tags last_click_category").ok();
    dir.adprof("verify --store file:s --sample 1").ok();
}

#[test]
fn a_flipped_byte_of_a_column_is_an_error_and_is_named_by_the_check() {
    let dir = indexed();
    let file = dir.file("adprof-store/data.mdb");
    let bytes = std::fs::read(&file).expect("read");
    std::fs::write(&file, damaged(&bytes, b"column\0user\x0000000000\0city", "Malmö".as_bytes())).expect("written");
    let out = dir.adprof_args(["segment", "size", "--where", "city = 'Malmö'"]).exits(74);
    assert!(out.stderr.contains("a column of its index is broken"), "{}", out.stderr);
    let out = dir.adprof("segment index --check").exits(1);
    assert_eq!(out.stdout, "{\"block\":0,\"tag\":\"city\",\"difference\":\"broken\"}\n");
    // What is elsewhere is answered, and by a scan everything.
    assert_eq!(dir.adprof("segment size adults").ok(), "1\n");
    assert_eq!(dir.adprof_args(["segment", "size", "--scan", "--where", "city = 'Malmö'"]).ok(), "1\n");
    dir.adprof("segment index --anew").ok();
    assert_eq!(dir.adprof_args(["segment", "size", "--where", "city = 'Malmö'"]).ok(), "1\n");
}
