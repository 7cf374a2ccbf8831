//! Tags of entities: the values, by SQL that DuckDB runs, the order and the bytes of the patches, and what is counted.

use crate::support::{self, Dir, project};
use std::process::Command;

const START: i64 = 1_735_689_600_000;
const HOUR: i64 = 3_600_000;

/// Tags of users, items, and of a category in an hour, over what `gen` makes.
const SYNTHETIC: &str = r#"
[[entity]]
name = "item"
key = "itemId"
[[entity]]
name = "hour"
key = ["category", "hop(timestamp, '2h', '1h')"]
retain = "2d"
[[tag]]
code = "spent"
value = "sum(amount)"
[[tag]]
code = "hour_users"
entity = "hour"
value = "count(DISTINCT userId)"
[[tag]]
code = "item_last"
entity = "item"
value = "last(userId)"
[[tag]]
code = "item_events"
entity = "item"
value = "count(*)"
"#;

#[test]
fn keys_windows_and_what_is_forgotten_are_what_duckdb_gives() {
    let Some(python) = support::python() else { return };
    let dir = Dir::new();
    let script = project().join("tests/batch/entities.py");
    let run = |args: &[&str]| {
        let output = Command::new(&python).arg("-B").arg(&script).args(args).current_dir(dir.path()).output();
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["write", "ad-events.log"]);
    std::fs::copy(project().join("tests/batch/entities.toml"), dir.file("adprof.toml")).expect("copied");
    for (as_of, forgotten) in [
        (START + HOUR, false),
        (START + 7 * HOUR - 1, false),
        (START + 7 * HOUR, false),
        (START + 29 * HOUR + HOUR / 2, true),
        (START + 48 * HOUR, true),
    ] {
        let tags = "events,item_views,item_buyers,item_revenue,item_6h,item_category,item_strong,shelf_events,shelf_dearest,\
                    label_events,label_users,hour_events,hour_amount,trend_events,recent_events,recent_amount";
        dir.adprof(&format!("batch --tags {tags} --as-of {as_of} -o patches.ndjson")).exits(0);
        let said = run(&["compare", "ad-events.log", &as_of.to_string(), "patches.ndjson"]);
        assert_eq!(!said.contains(", 0 forgotten"), forgotten, "{as_of}: {said}");
    }
}

#[test]
fn an_event_counts_once_for_each_key_it_touches_and_its_duplicate_for_none() {
    let dir = Dir::new();
    let two = "[[entity]]\nname = 'item'\nkey = 'properties.items[]'\n[[tag]]\ncode = 'u'\nvalue = 'count(*)'\n\
               [[tag]]\ncode = 'n'\nentity = 'item'\nvalue = 'count(*)'\nupdate = 'daily'\n";
    dir.write("adprof.toml", two);
    let event = |user: &str, items: &str| {
        format!(
            "{{\"eventId\":\"e\",\"userId\":\"{user}\",\"eventType\":\"view\",\"timestamp\":{START},\"properties\":{{\"items\":{items}}}}}\n"
        )
    };
    // The first line of an event counts; another user's event may have its id.
    let lines =
        [event("u", "[\"a\",\"b\",\"a\"]"), event("u", "[\"a\",\"c\"]"), event("v", "[\"b\"]"), event("u", "[]")];
    dir.write("ad-events.log", lines.concat());
    let told = dir.adprof("batch --tags all").exits(0);
    let mut patches: Vec<&str> = told.stdout.lines().collect();
    assert!(patches[..2].iter().all(|line| line.contains("userId")), "{}", told.stdout);
    patches.sort_unstable();
    let tail = format!("\"asOf\":{START},\"tags\":");
    assert_eq!(
        patches,
        [
            format!("{{\"entity\":\"item\",\"key\":\"a\",{tail}{{\"n\":1}}}}"),
            format!("{{\"entity\":\"item\",\"key\":\"b\",{tail}{{\"n\":2}}}}"),
            format!("{{\"userId\":\"u\",{tail}{{\"u\":1}}}}"),
            format!("{{\"userId\":\"v\",{tail}{{\"u\":1}}}}"),
        ]
    );
    assert!(told.stderr.contains("2 events, 2 duplicates; 2 profiles, 2 keys of item as of"), "{}", told.stderr);
    // Of so many keys several fall into one partition: there too each is touched once.
    let many: Vec<String> = (0..400).map(|n| format!("\"k{n}\"")).collect();
    let told = dir.adprof("batch --tags n --log -").stdin(event("u", &format!("[{}]", many.join(",")))).exits(0);
    assert_eq!(told.stdout.lines().filter(|line| line.ends_with("{\"n\":1}}")).count(), 400);
    assert_eq!(told.stdout.lines().count(), 400);
    // Without tags of users there is no profile; `update = "daily"` is what batch computes by itself.
    let told = dir.adprof("batch -o out.ndjson --manifest").exits(0);
    assert!(told.stderr.contains("2 events, 2 duplicates; 2 keys of item as of"), "{}", told.stderr);
    assert!(dir.read("out.ndjson").lines().eq([patches[0], patches[1]]), "by partition, then by key");
    let manifest: serde_json::Value = serde_json::from_str(&dir.read("out.ndjson.manifest.json")).expect("JSON");
    assert_eq!((&manifest["output"]["rows"], &manifest["keys"]), (&2.into(), &serde_json::json!({"item": 2})));
    let checked = dir.adprof("check --data out.ndjson --json").exits(0);
    assert!(checked.stdout.contains("\"n\""), "{}", checked.stdout);
    let since = dir.adprof(&format!("batch --tags all --since {} --as-of {}", START + 1, START + 2)).exits(0);
    assert!(
        since.stdout.is_empty() && since.stderr.contains("2 outside the range"),
        "{}{}",
        since.stdout,
        since.stderr
    );
    let sunk = dir.adprof("sink file store -i out.ndjson").exits(0);
    assert!(sunk.stderr.contains("wrote 2 profiles (2 tags)"), "{}", sunk.stderr);
}

#[test]
fn the_same_events_give_the_same_bytes_however_they_lie_and_whatever_the_memory() {
    let dir = Dir::new();
    dir.write("adprof.toml", SYNTHETIC);
    let events = dir.adprof("gen --events 60000 --users 3000 --days 3 --seed 7 --duplicates 5% --late 5%").ok();
    dir.write("ad-events.log", &events);
    let want = dir.adprof("batch --tags all").ok();
    let users = dir.adprof("batch --tags spent").ok();
    assert!(want.starts_with(&users) && want.len() > users.len(), "users come first, as they are without entities");
    assert!(want.contains("\"entity\":\"item\"") && want.contains("\"key\":[\"books\",\"17"), "both entities");
    let same = |what: &str, bytes: &str| assert!(bytes == want, "{what}: other bytes");
    for flags in ["--threads 1", "--threads 7"] {
        same(flags, &dir.adprof(&format!("batch --tags all {flags}")).ok());
    }
    for flags in ["--memory 1M", "--memory 4M --threads 1", "--memory 2M --threads 5"] {
        let run = dir.adprof(&format!("batch --tags all --temp-dir . {flags}")).exits(0);
        same(flags, &run.stdout);
        assert!(run.stderr.contains("of rows by way of a file"), "{flags}: {}", run.stderr);
    }
    let mut lines: Vec<&str> = events.split_inclusive('\n').collect();
    lines.sort_unstable_by_key(|line| {
        line.bytes().fold(7u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    });
    let (odd, even): (Vec<_>, Vec<_>) = lines.iter().enumerate().partition(|(n, _)| n % 2 == 1);
    let text = |part: Vec<(usize, &&str)>| part.into_iter().map(|(_, line)| *line).collect::<String>();
    dir.write("log/dt=2025-01-01/a-00001.ndjson", text(odd));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, text(even).as_bytes()).expect("in memory");
    dir.write("log/dt=2025-01-02/b-00001.ndjson.gz", gz.finish().expect("in memory"));
    same("shuffled, in partitions of two writers", &dir.adprof("batch --log log --tags all --threads 3").ok());
}

#[test]
fn roll_ups_give_the_bytes_of_the_whole_log_whether_events_are_of_their_day_or_of_days_to_come() {
    let dir = Dir::new();
    let labels = "[[entity]]\nname = 'label'\nkey = 'properties.labels[]'\n[[tag]]\ncode = 'n'\nentity = 'label'\n";
    dir.write("adprof.toml", format!("{SYNTHETIC}{labels}value = 'count(*)'\n"));
    // Of so many keys of one event several fall into one part: there too each is touched once.
    let all: Vec<String> = (0..500).map(|n| format!("\"l{n}\"")).collect();
    let many = |id: &str, first: usize| {
        format!(
            "{{\"eventId\":\"{id}\",\"userId\":\"u\",\"eventType\":\"view\",\"timestamp\":{START},\"properties\":{{\"labels\":[{}]}}}}\n",
            all[first..].join(",")
        )
    };
    let events = dir.adprof("gen --events 30000 --users 2000 --days 3 --seed 9 --duplicates 5% --late 5%").ok();
    let lines: Vec<&str> = events.split_inclusive('\n').collect();
    // Received on the days before, nearly all events wait for their time.
    for (log, first, read) in [("log", 1, [1, 1, 1]), ("early", 0, [2, 1, 0])] {
        for (n, part) in lines.chunks(lines.len() / 3 + 1).enumerate() {
            let day = ["2024-12-31", "2025-01-01", "2025-01-02", "2025-01-03"][n + first];
            let (id, first) = ([1, 1, 2][n].to_string(), [0, 9, 99][n]);
            dir.write(&format!("{log}/dt={day}/a-00001.ndjson"), part.concat() + &many(&id, first));
        }
        let nights = [("2025-01-01", "--memory 2M"), ("2025-01-02", "--threads 1"), ("2025-01-03", "")];
        for ((night, flags), read) in nights.into_iter().zip(read) {
            let args = format!("batch --log {log} --through {night} --tags all --manifest {flags}");
            dir.adprof(&format!("{args} -o whole.ndjson")).exits(0);
            let said = dir.adprof(&format!("{args} -o rolled.ndjson --rollups of-{log}")).exits(0).stderr;
            assert!(dir.read("rolled.ndjson") == dir.read("whole.ndjson"), "{log} {night}: other bytes");
            assert_eq!(dir.read("rolled.ndjson.manifest.json"), dir.read("whole.ndjson.manifest.json"));
            assert!(said.contains(" keys of item, ") && said.contains(&format!(" {read} read;")), "{said}");
        }
    }
}
