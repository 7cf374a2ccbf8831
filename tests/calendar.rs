//! Windows of the calendar through the real program: batch, stream, a state in a store, roll-ups and `check`, around
//! nights on which clocks change, against Python's own time zones.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use support::{Dir, agrees_with};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Zones with midnights in UTC: those before and after clocks change, and the first of a month.
const NIGHTS: [(&str, &[&str]); 7] = [
    ("Europe/Berlin", &["2025-03-29T23:00Z", "2025-03-30T22:00Z", "2025-10-25T22:00Z", "2025-10-26T23:00Z"]),
    ("America/New_York", &["2025-03-09T05:00Z", "2025-03-10T04:00Z", "2025-11-02T04:00Z", "2025-11-03T05:00Z"]),
    ("Asia/Kolkata", &["2025-03-30T18:30Z", "2025-03-31T18:30Z"]),
    ("Asia/Beirut", &["2025-03-29T22:00Z", "2025-03-30T21:00Z", "2025-10-24T21:00Z", "2025-10-25T22:00Z"]),
    ("Australia/Lord_Howe", &["2025-04-05T13:00Z", "2025-04-06T13:30Z", "2025-10-04T13:30Z", "2025-10-05T13:00Z"]),
    ("America/Sao_Paulo", &["2018-11-04T03:00Z", "2018-11-05T02:00Z", "2018-02-17T02:00Z", "2018-02-18T03:00Z"]),
    ("America/St_Johns", &["2006-10-29T02:30Z", "2006-10-30T03:30Z"]),
];

const WINDOWS: [(&str, &str); 6] = [
    ("day", "day"),
    ("days", "3 days"),
    ("week", "week"),
    ("weeks", "2 weeks"),
    ("month", "month"),
    ("months", "3 months"),
];

fn instant(text: &str) -> i64 {
    text.replace('Z', ":00Z").parse::<jiff::Timestamp>().expect(text).as_millisecond()
}

/// The built-in tags, and the clicks of every window in a zone: as definitions, and as the oracle is told of them.
fn definitions(zone: &str) -> (String, Vec<String>) {
    let (mut text, mut calendars) = (adprof::tag::sample().to_string(), Vec::new());
    for (code, window) in WINDOWS {
        let filter = "where = \"eventType = 'click'\"";
        write!(
            text,
            "\n[[tag]]\ncode = \"{code}\"\nvalue = \"count(*)\"\n{filter}\nwindow = \"{window}\"\ntz = \"{zone}\"\n"
        )
        .expect("in memory");
        calendars.push(format!("{code}={window}@{zone}"));
    }
    (text, calendars)
}

/// Clicks at, right before and right after each midnight, and some days, weeks and months earlier, of three users.
fn events(midnights: &[i64]) -> String {
    let mut out = String::new();
    let back = [0, 1, 2, 3, 7, 14, 15, 31, 62, 93].map(|days| days * DAY);
    for (i, midnight) in midnights.iter().enumerate() {
        for (j, back) in back.iter().enumerate() {
            for (k, off) in [-HOUR, -1, 0, 1, HOUR].iter().enumerate() {
                let (at, user) = (midnight - back + off, (i + j + k) % 3);
                writeln!(
                    out,
                    r#"{{"eventId":"{i}-{j}-{k}","userId":"u{user}","eventType":"click","timestamp":{at},"receivedAt":{at}}}"#
                )
                .expect("in memory");
            }
        }
    }
    out
}

#[test]
fn batch_and_stream_tell_what_python_says_at_every_edge() {
    for (zone, midnights) in NIGHTS {
        let dir = Dir::new();
        let (definitions, calendars) = definitions(zone);
        let midnights: Vec<i64> = midnights.iter().map(|text| instant(text)).collect();
        dir.write("adprof.toml", definitions);
        let log = dir.write("ad-events.log", events(&midnights));
        for as_of in midnights.iter().flat_map(|at| [at - 1, *at]) {
            let told = dir.adprof(&format!("batch --tags all --as-of {as_of}")).ok();
            if !agrees_with(&log, Some(as_of), &calendars, &told) {
                return;
            }
            let stream = dir.adprof(&format!("stream --tags all --emit final --as-of {as_of}"));
            let streamed = stream.stdin(dir.read("ad-events.log")).ok();
            let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(sorted(&streamed), sorted(&told), "{zone} {as_of}");
        }
    }
}

/// The value of a tag in a line of a profile.
fn value(line: &str, code: &str) -> i64 {
    let profile: serde_json::Value = serde_json::from_str(line).expect("JSON");
    profile["tags"][code].as_i64().unwrap_or_else(|| panic!("no {code} in {line}"))
}

#[test]
fn a_stream_tells_the_fall_at_local_midnight_and_a_state_knows_it_though_no_stream_runs() {
    for (zone, midnights) in NIGHTS {
        let dir = Dir::new();
        dir.write("adprof.toml", definitions(zone).0);
        let [begins, ends] = [instant(midnights[0]), instant(midnights[1])];
        let click = |id: &str, at: i64| {
            format!(r#"{{"eventId":"{id}","userId":"u","eventType":"click","timestamp":{at},"receivedAt":{at}}}"#)
                + "\n"
        };
        let clicks = click("a", begins - 1) + &click("b", begins) + &click("c", ends - HOUR);
        let patches = dir.adprof(&format!("stream --tags day --as-of {}", ends + HOUR)).stdin(clicks.clone()).ok();
        let told: Vec<(i64, i64)> = patches
            .lines()
            .map(|line| {
                let patch: serde_json::Value = serde_json::from_str(line).expect("JSON");
                (patch["asOf"].as_i64().expect("an instant"), value(line, "day"))
            })
            .collect();
        assert_eq!(told, [(begins - 1, 1), (begins, 0), (begins, 1), (ends - HOUR, 2), (ends, 0)], "{zone}");
        dir.write("clicks.ndjson", &clicks);
        dir.adprof("stream --store file:s --clock event").stdin(clicks).exits(0);
        for (as_of, want) in [(ends - 1, 2), (ends, 0)] {
            let line = dir.adprof(&format!("query u --store file:s --as-of {as_of}")).ok();
            assert_eq!(value(&line, "day"), want, "{zone} {as_of}");
            let batch = dir.adprof(&format!("batch --log clicks.ndjson --tags all --as-of {as_of}")).ok();
            for (code, _) in WINDOWS {
                assert_eq!(value(&line, code), value(&batch, code), "{zone} {as_of} {code}");
            }
        }
    }
}

#[test]
fn roll_ups_give_the_bytes_of_the_full_scan_though_their_days_are_of_another_zone() {
    let dir = Dir::new();
    let zone = "Europe/Berlin";
    dir.write("adprof.toml", definitions(zone).0);
    let first = instant("2025-03-27T00:00Z");
    let day = |n: i64| jiff::Timestamp::from_millisecond(first + n * DAY).expect("in range").strftime("%F").to_string();
    for n in 0..6 {
        let lines: String = events(&[first + n * DAY + 23 * HOUR, first + n * DAY + 22 * HOUR])
            .lines()
            .map(|line| line.replace("\"eventId\":\"", &format!("\"eventId\":\"{n}-")) + "\n")
            .collect();
        dir.write(&format!("log/dt={}/a-00001.ndjson", day(n)), lines);
        let midnight = first + n * DAY + 22 * HOUR;
        for as_of in [
            "".to_string(),
            format!("--as-of {}", midnight - 1),
            format!("--as-of {midnight}"),
            "--tz Europe/Berlin".into(),
        ] {
            let command = format!("batch --log log --tags all --through {} {as_of}", day(n));
            let whole = dir.adprof(&command).ok();
            assert!(whole.contains("\"days\":"), "{whole}");
            assert_eq!(dir.adprof(&format!("{command} --rollups rollups")).ok(), whole, "{command}");
        }
    }
}

#[test]
fn the_pattern_of_the_schema_takes_the_windows_that_check_takes() {
    let dir = Dir::new();
    let windows = [
        "day",
        "week",
        "month",
        "2 days",
        "10 weeks",
        "3 months",
        "12 months",
        "1d",
        "1h30m",
        "7d",
        "day ",
        "Day",
        "days",
        "1 day",
        "0 days",
        "02 days",
        "2 day",
        "2  days",
        "2days",
        "1.5 days",
        "year",
        "1",
        "",
        "quarter",
    ];
    let schema = dir.adprof("schema").ok();
    let script = "import json, re, sys\np = json.loads(sys.argv[1])['properties']['tag']['items']['properties']['window']['pattern']\n\
                  print([w for w in sys.argv[2:] if re.search(p, w)])";
    let Ok(output) = Command::new("python3").args(["-c", script, &schema]).args(windows).output() else { return };
    let taken: Vec<&str> = windows
        .into_iter()
        .filter(|window| {
            dir.write("adprof.toml", format!("[[tag]]\ncode = \"t\"\nvalue = \"count(*)\"\nwindow = \"{window}\"\n"));
            let output = dir.adprof("check").output();
            assert!([0, 78].contains(&output.code), "{}", output.stderr);
            output.code == 0
        })
        .collect();
    assert_eq!(taken.len(), 10);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim().replace('\'', "\""), format!("{taken:?}"));
}

#[test]
fn a_span_that_looks_like_the_calendar_beside_it_is_told() {
    let dir = Dir::new();
    let tag = |code: &str, rest: &str| format!("[[tag]]\ncode = \"{code}\"\nvalue = \"count(*)\"\n{rest}\n");
    let spans = tag("a", "window = \"1d\"") + &tag("b", "window = \"7d\"") + &tag("c", "window = \"36h\"");
    dir.write("adprof.toml", &spans);
    assert_eq!(dir.adprof("check").exits(0).stderr, "adprof.toml: 3 tags, no problems\n");
    dir.write(
        "adprof.toml",
        spans + &tag("today", "window = \"day\"\ntz = \"Asia/Kolkata\"") + &tag("w", "window = \"week\""),
    );
    assert_eq!(
        dir.adprof("check").exits(0).stderr,
        "adprof.toml: 5 tags, no problems\n\
         adprof.toml:1: tag `a`: \"1d\" is the last 24 hours; \"day\" of tag `today` goes by the calendar\n\
         adprof.toml:5: tag `b`: \"7d\" is the last 168 hours; \"week\" of tag `w` goes by the calendar\n"
    );
}

#[test]
fn the_zone_is_the_programs_own_whatever_the_machine_has() {
    let dir = Dir::new();
    dir.write("adprof.toml", definitions("Europe/Berlin").0);
    dir.write("ad-events.log", events(&[instant("2025-03-29T23:00Z")]));
    let command = format!("batch --tags all --as-of {}", instant("2025-03-30T21:59Z"));
    let usual = dir.adprof(&command).ok();
    // A directory without a single zone in it.
    let bare = dir.path().display().to_string();
    assert_eq!(dir.adprof(&command).env("TZDIR", &bare).env("TZ", "Asia/Tokyo").ok(), usual);
    let day = dir.adprof("day 2025-03-30 --tz Europe/Berlin").env("TZDIR", &bare).ok();
    assert_eq!(day, "2025-03-30 2025-03-30 2025-03-29T23:00:00.000Z 2025-03-30T21:59:59.999Z\n");
}
