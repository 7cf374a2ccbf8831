//! Instants: edges of windows, days of 23 and 25 hours, ranges, and which of two bodies counts.

use crate::event;
use crate::support::Dir;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Window, resolution when it is not the usual one, and both in milliseconds.
const WINDOWS: [(&str, &str, i64, i64); 6] = [
    ("1h", "", HOUR, SECOND),
    ("1d", "", DAY, MINUTE),
    ("7d", "", 7 * DAY, HOUR),
    ("60d", "", 60 * DAY, DAY),
    ("90s", "30s", 90 * SECOND, 30 * SECOND),
    ("1s", "1s", SECOND, SECOND),
];

fn windows(dir: &Dir) {
    let tag = |(i, (window, resolution, ..)): (usize, &(&str, &str, i64, i64))| {
        let resolution = if resolution.is_empty() { String::new() } else { format!("resolution = \"{resolution}\"\n") };
        format!("[[tag]]\ncode = \"w{i}\"\nvalue = \"count(*)\"\nwindow = \"{window}\"\n{resolution}")
    };
    dir.write("adprof.toml", WINDOWS.iter().enumerate().map(tag).collect::<String>());
}

#[test]
fn an_event_counts_from_its_instant_to_the_edge_of_its_pane_and_the_window() {
    let dir = Dir::new();
    windows(&dir);
    // On the edge of every pane there is, and a millisecond to either side.
    let edge = 1_731_283_200_000;
    assert_eq!(edge % DAY, 0);
    for ts in [edge - 1, edge, edge + 1] {
        dir.write("one.ndjson", event("e", "click", ts, ""));
        let over = |(_, _, window, resolution): &(&str, &str, i64, i64)| ts - ts.rem_euclid(*resolution) + window;
        let mut instants = vec![ts - 1, ts, ts + 1];
        instants.extend(WINDOWS.iter().map(over).flat_map(|over| [over - 1, over, over + 1]));
        for as_of in instants {
            let line = dir.adprof(&format!("batch --log one.ndjson --tags all --as-of {as_of}")).ok();
            let counts: Vec<String> = WINDOWS
                .iter()
                .enumerate()
                .map(|(i, window)| format!("\"w{i}\":{}", i32::from(ts <= as_of && as_of < over(window))))
                .collect();
            // Before its only event there is no user.
            let want = format!("{{\"userId\":\"u\",\"asOf\":{as_of},\"tags\":{{{}}}}}\n", counts.join(","));
            assert_eq!(line, if as_of < ts { String::new() } else { want }, "event at {ts}");
        }
    }
}

#[test]
fn a_day_ends_when_its_zone_says_so_be_it_23_or_25_hours_long() {
    let dir = Dir::new();
    // 23, 25 and 24 hours in Berlin; their beginnings in UTC.
    for (day, next, start, hours) in [
        ("2024-03-31", "2024-04-01", 1_711_839_600_000, 23),
        ("2024-10-27", "2024-10-28", 1_729_980_000_000, 25),
        ("2024-06-01", "2024-06-02", 1_717_192_800_000, 24),
    ] {
        let end = start + hours * HOUR;
        let amounts = [(start - 1, 1), (start, 10), (end - 1, 100), (end, 1000)];
        let purchase =
            |(ts, amount): &(i64, i64)| event(&ts.to_string(), "purchase", *ts, &format!(",\"amount\":{amount}"));
        dir.write("events.ndjson", amounts.iter().map(purchase).collect::<String>());
        let ltv = |flags: &str| dir.adprof(&format!("batch --log events.ndjson --tags ltv_total {flags}")).ok();
        let want = |as_of, sum| format!("{{\"userId\":\"u\",\"asOf\":{as_of},\"tags\":{{\"ltv_total\":{sum}}}}}\n");
        assert_eq!(ltv(&format!("--date {day} --tz Europe/Berlin")), want(end - 1, 111), "{day}");
        let range = format!("--since {day} --until {next} --tz Europe/Berlin");
        assert_eq!(ltv(&range), want(end - 1, 110), "{day}");
        assert_eq!(ltv(&format!("--since {day} --tz Europe/Berlin")), want(end, 1110), "{day}");
        assert_eq!(ltv(&format!("--until {next} --tz Europe/Berlin")), want(end - 1, 111), "{day}");
        assert_eq!(ltv(&format!("--since {start} --until {}", start + 1)), want(start, 10), "{day}");
        assert_eq!(ltv(&format!("--since {}", end + 1)), "", "{day}");
    }
}

#[test]
fn without_a_range_the_instant_is_the_largest_event_time() {
    let dir = Dir::new();
    dir.write(
        "events.ndjson",
        event("b", "click", 1_731_296_325_007, "") + &event("a", "click", 1_731_296_325_000, ""),
    );
    let line = dir.adprof("batch --log events.ndjson --tags clicks_1h_count").ok();
    assert_eq!(line, "{\"userId\":\"u\",\"asOf\":1731296325007,\"tags\":{\"clicks_1h_count\":2}}\n");
}

#[test]
fn ranges_that_cannot_be_are_usage_errors() {
    let dir = Dir::new();
    dir.write("ad-events.log", event("a", "click", 1_731_296_325_000, ""));
    for flags in [
        "--since 2024-01-02 --until 2024-01-02",
        "--since 2024-01-02 --as-of 2024-01-01",
        "--date 2024-01-01 --as-of 2024-01-01",
        "--date 2024-02-30",
        "--date 2024-01-01 --tz Mars/Olympus",
        "--as-of soon",
    ] {
        let told = dir.adprof(&format!("batch {flags}")).exits(2);
        assert_eq!(told.stdout, "", "{flags}");
    }
}

#[test]
fn of_two_bodies_the_first_of_the_log_counts() {
    let dir = Dir::new();
    let ts = 1_731_296_325_000;
    let one = event("e", "purchase", ts, ",\"amount\":1");
    let two = event("e", "purchase", ts, ",\"amount\":2");
    // So far apart that different threads read them.
    let between: String =
        (0..60_000).map(|i| event(&format!("x{i}"), "view", ts, ",\"category\":\"sports\"")).collect();
    assert!(between.len() > 5 << 20);
    dir.write("12.ndjson", format!("{one}{between}{two}"));
    dir.write("21.ndjson", format!("{two}{between}{one}"));
    dir.write("1.ndjson", &one);
    dir.write("2.ndjson", &two);
    dir.write("log/dt=2024-11-11/b-00001.ndjson", &one);
    dir.write("log/dt=2024-11-11/a-00001.ndjson", &two);
    for (flags, sum) in [
        ("--log 12.ndjson --threads 4", 1),
        ("--log 21.ndjson --threads 4", 2),
        ("--log 1.ndjson --log 2.ndjson", 1),
        ("--log 2.ndjson --log 1.ndjson", 2),
        ("--log log", 2),
    ] {
        let line = dir.adprof(&format!("batch --tags ltv_total {flags}")).ok();
        assert!(line.ends_with(&format!("\"tags\":{{\"ltv_total\":{sum}}}}}\n")), "{flags}: {line}");
    }
}

#[test]
fn a_body_outside_the_range_still_hides_its_duplicates() {
    let dir = Dir::new();
    let ts = 1_731_296_325_000;
    let late = event("e", "purchase", ts + HOUR, ",\"amount\":1");
    let early = event("e", "purchase", ts, ",\"amount\":2");
    let other = event("f", "purchase", ts, ",\"amount\":4");
    dir.write("events.ndjson", format!("{late}{early}{other}"));
    let told = dir.adprof(&format!("batch --log events.ndjson --tags ltv_total --as-of {ts}")).exits(0);
    assert_eq!(told.stdout, format!("{{\"userId\":\"u\",\"asOf\":{ts},\"tags\":{{\"ltv_total\":4}}}}\n"));
    assert!(told.stderr.contains("1 events, 1 duplicates, 1 outside the range"), "{}", told.stderr);
}

#[test]
fn one_id_of_two_users_or_tenants_is_two_events() {
    let dir = Dir::new();
    let ts = 1_731_296_325_000;
    let lines = [
        event("e", "click", ts, ""),
        event("e", "click", ts, ",\"tenantId\":\"t\""),
        event("e", "click", ts, ",\"tenantId\":null"),
        event("e", "click", ts, "").replace("\"u\"", "\"v\""),
    ];
    let out = dir.adprof("batch --log - --tags clicks_1h_count").stdin(lines.concat()).ok();
    assert!(out.contains("\"userId\":\"u\",\"asOf\":1731296325000,\"tags\":{\"clicks_1h_count\":2}"), "{out}");
    assert!(out.contains("\"userId\":\"v\",\"asOf\":1731296325000,\"tags\":{\"clicks_1h_count\":1}"), "{out}");
}
