//! Days: of 23, 24 and 25 hours, missing, not sealed, and several at once.

use super::night::{Night, date, purchase, python};
use crate::support::Dir;
use serde_json::Value;
use std::time::Duration;

/// Where a day of a zone begins and ends, and the UTC days that it touches, as Python's `zoneinfo` has it.
const BOUNDS: &str = "
import sys, zoneinfo, datetime as d
zone, day = zoneinfo.ZoneInfo(sys.argv[1]), d.date.fromisoformat(sys.argv[2])
at = lambda day: int(d.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
start, end = at(day), at(day + d.timedelta(days=1))
utc = lambda ms: d.datetime.fromtimestamp(ms / 1000, d.timezone.utc).date()
print(start, end, utc(start), utc(end - 1))
";

struct Bounds {
    start: i64,
    end: i64,
    first: String,
    through: String,
}

fn bounds(zone: &str, day: &str) -> Option<Bounds> {
    let told = python(BOUNDS, &[zone, day])?;
    let words: Vec<&str> = told.split_whitespace().collect();
    let number = |i: usize| words[i].parse().expect("a number");
    Some(Bounds { start: number(0), end: number(1), first: words[2].into(), through: words[3].into() })
}

#[test]
fn a_day_of_a_clock_change_is_computed_as_of_its_own_end_from_all_its_partitions() {
    for (zone, day, hours) in [
        ("Europe/Berlin", "2024-03-31", 23),
        ("Europe/Berlin", "2024-10-27", 25),
        ("America/New_York", "2024-03-10", 23),
        ("America/New_York", "2024-11-03", 25),
        ("Asia/Kolkata", "2024-06-01", 24),
    ] {
        let Some(Bounds { start, end, first, through }) = bounds(zone, day) else { return };
        assert_eq!(end - start, hours * 3_600_000, "{zone} {day}");
        let night = Night(Dir::new());
        let after = next(&through);
        night.receive(&first, &purchase("before", "u", "1", start - 1));
        night.receive(&first, &purchase("first", "u", "10", start));
        night.receive(&through, &purchase("last", "u", "100", end - 1));
        night.receive(&through, &purchase("next", "u", "1000", end));
        // Late: of this day, and received when it was sealed.
        night.receive(&after, &purchase("late", "u", "10000", end - 1));
        let args = format!("--tz {zone} --date {day}");
        if first != through {
            night.seal(&first);
        }
        let (code, _, stderr) = night.run(&args);
        assert_eq!(code, 75, "{zone} {day}: {stderr}");
        assert!(stderr.contains(&format!("log/dt={through} is not sealed")), "{stderr}");
        assert!(!night.exists("store") && !night.exists("out/latest"), "nothing may be published");
        night.seal(&through);
        night.quiet(&args);
        let want = format!(
            "{{\"userId\":\"u\",\"asOf\":{},\"tags\":{{\"ltv_total\":111,\"segment_id\":\"high_value_user\"}}}}\n",
            end - 1
        );
        assert_eq!(night.0.read(&format!("out/dt={day}/patches.ndjson")), want, "{zone} {day}");
        let manifest = night.0.read(&format!("out/dt={day}/patches.ndjson.manifest.json"));
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        assert_eq!(
            (&manifest["date"], &manifest["tz"], &manifest["through"]),
            (&day.into(), &zone.into(), &(*through).into())
        );
        assert_eq!(
            (manifest["events"]["first"].as_i64(), manifest["events"]["last"].as_i64()),
            (Some(start - 1), Some(end - 1))
        );
        // What came late counts the next day.
        night.seal(&after);
        let later = bounds(zone, &next(day)).expect("as before");
        for partition in [&later.first, &later.through] {
            night.receive(partition, "");
            night.seal(partition);
        }
        night.quiet(&format!("--tz {zone} --date {}", next(day)));
        assert!(night.tags("u").contains("\"ltv_total\":11111,"), "{zone} {day}: {}", night.tags("u"));
    }
}

fn next(day: &str) -> String {
    let day: jiff::civil::Date = day.parse().expect("a date");
    day.tomorrow().expect("in range").to_string()
}

#[test]
fn a_day_that_the_log_does_not_have_is_told_and_nothing_is_written() {
    let night = Night::with_days([18, 20]);
    let (code, stdout, stderr) = night.run(&format!("--date {}", date(19)));
    assert_eq!((code, &*stdout), (66, ""));
    assert!(stderr.starts_with("adprof day: log/dt=2024-11-19: no such partition, so 2024-11-19"), "{stderr}");
    assert!(stderr.contains("hint: did nothing come on that day? an empty folder says so: mkdir it"), "{stderr}");
    assert!(night.outputs().is_empty() && !night.exists("store"));
    assert_eq!(night.noted(), ["2024-11-19 failed with 66"]);
    // A day without an event that says so is a day like others.
    night.seal(&date(19));
    night.quiet(&format!("--date {}", date(19)));
    let (code, _, stderr) = Night(Dir::new()).run("");
    assert_eq!((code, stderr.contains("adprof day: cannot open `log`: no such file")), (66, true), "{stderr}");
}

#[test]
fn a_day_that_is_not_over_or_not_sealed_is_for_another_time() {
    let night = Night::with_days([18, 19]);
    let (code, _, stderr) = night.run("--date today");
    assert_eq!((code, stderr.contains("is not over (UTC)")), (75, true), "{stderr}");
    // An older day that is open may still change what the values are made of.
    std::fs::remove_file(night.0.file("log/dt=2024-11-18/_SUCCESS")).expect("there");
    let (code, stdout, stderr) = night.run(&format!("--date {}", date(19)));
    assert_eq!((code, &*stdout), (75, ""));
    let want = "adprof day: 2024-11-19 is not ready: log/dt=2024-11-18 is not sealed\nhint: ";
    assert!(stderr.starts_with(want), "{stderr}");
    assert!(night.outputs().is_empty() && !night.exists("store"));
    night.seal(&date(18));
    night.quiet(&format!("--date {}", date(19)));
}

#[test]
fn it_waits_for_the_seal_as_long_as_it_may() {
    let night = Night::with_days([18]);
    std::fs::remove_file(night.0.file("log/dt=2024-11-18/_SUCCESS")).expect("there");
    let args = format!("--store file:store --date {} --wait", date(18));
    assert_eq!(night.run_with(&format!("{args} 1"), &[]).0, 75);
    let waiting = night.start(&format!("{args} 3"), &[]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!night.exists("out/latest"));
    night.seal(&date(18));
    assert_eq!(waiting.end(), (0, String::new()));
    assert!(night.exists("out/dt=2024-11-18/_PUBLISHED"));
}

#[test]
fn what_was_missed_is_caught_up_the_oldest_first_and_no_more_than_allowed() {
    let night = Night::with_days([15, 16, 17, 18, 20]);
    night.quiet(&format!("--date {}", date(15)));
    let args = format!("--date {} --catch-up", date(18));
    let (code, stdout, _) = night.run(&format!("{args} --dry-run"));
    assert_eq!((code, stdout.lines().count()), (0, 3), "{stdout}");
    assert!(stdout.starts_with("2024-11-16: would compute from the log through 2024-11-16"), "{stdout}");
    assert_eq!(night.noted().len(), 1, "a dry run leaves nothing");
    night.quiet(&format!("{args} 1"));
    assert!(night.exists("out/dt=2024-11-16/_PUBLISHED") && !night.exists("out/dt=2024-11-17"));
    night.quiet(&args);
    assert!(night.exists("out/dt=2024-11-17/_PUBLISHED") && night.exists("out/dt=2024-11-18/_PUBLISHED"));
    let said: Vec<String> = night.noted().iter().map(|line| line[..20].to_owned()).collect();
    assert_eq!(said, [15, 16, 17, 18].map(|day| format!("2024-11-{day} published")));
    // A day that is missing does not hold up those after it, and is told.
    let (code, _, stderr) = night.run(&format!("--date {} --catch-up", date(20)));
    assert_eq!((code, stderr.contains("log/dt=2024-11-19: no such partition")), (66, true), "{stderr}");
    assert!(night.exists("out/dt=2024-11-20/_PUBLISHED"));
    // 15 to 18 and 20: five purchases of the user.
    assert!(night.tags("u-04").contains("\"ltv_total\":21.25,"), "{}", night.tags("u-04"));
    night.quiet(&format!("--date {} --catch-up", date(20)));
    assert_eq!(night.run("--date 2024-11-31").0, 2);
}

#[test]
fn days_are_named_listed_and_refused() {
    let night = Night::with_days([18]);
    let day = |args: &str| night.0.adprof(&format!("day {args}")).output();
    let listed = day("2024-03-01 --after 2024-02-27 --most 2").stdout;
    let want = "2024-02-28 2024-02-28 2024-02-28T00:00:00.000Z 2024-02-28T23:59:59.999Z\n\
                2024-02-29 2024-02-29 2024-02-29T00:00:00.000Z 2024-02-29T23:59:59.999Z\n";
    assert_eq!(listed, want);
    assert_eq!(
        (day("2024-03-01 --after 2024-03-01").stdout.as_str(), day("2024-03-01 --after 2024-03-01").code),
        ("", 0)
    );
    let yesterday = "import datetime as d; print((d.datetime.now(d.timezone.utc) - d.timedelta(days=1)).date())";
    if let Some(want) = python(yesterday, &[]) {
        let found = day("--tz UTC").stdout;
        // Midnight may pass between the two.
        let again = python(yesterday, &[]).expect("as before");
        assert!(found.starts_with(want.trim()) || found.starts_with(again.trim()), "{found} {want}");
    }
    for (args, words) in [
        ("soon", "not a day: \"soon\"\nhint: write yesterday, today, or 2026-11-20"),
        ("2024-02-30", "not a day: \"2024-02-30\""),
        ("--tz Mars", "unknown time zone: Mars"),
        ("2024-11-18 --log log/dt=2024-11-18/a-00001.ndjson.zst", "a file, which has no days of receipt"),
    ] {
        let output = day(args);
        assert!(output.code == 2 && output.stderr.contains(words), "{args}: {}", output.stderr);
    }
    assert_eq!(day("2024-11-18 --log log").code, 0);
}
