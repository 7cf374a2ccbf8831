//! Thresholds: each key, at its edge and past it, and what is said then.

use crate::support::Dir;
use serde_json::Value;

/// A tag of numbers with these thresholds, and one of texts, under these for the whole.
fn definitions(all: &str, number: &str, text: &str) -> String {
    format!(
        "[quality]\n{all}\n[[tag]]\ncode = \"n\"\nvalue = \"sum(amount)\"\nupdate = \"daily\"\n[tag.quality]\n{number}\n\
         [[tag]]\ncode = \"s\"\nvalue = \"last(category)\"\nupdate = \"daily\"\nquality = {{ {text} }}\n"
    )
}

/// Patches with these values of `n`, and texts of which `distinct` are different.
fn patches(as_of: i64, numbers: &[&str], distinct: usize) -> String {
    let line = |(i, n): (usize, &&str)| {
        format!("{{\"userId\":\"u{i}\",\"asOf\":{as_of},\"tags\":{{\"n\":{n},\"s\":\"s{}\"}}}}\n", i % distinct)
    };
    numbers.iter().enumerate().map(line).collect()
}

const TEN: [&str; 10] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10.5"];

/// The findings of a check of `today` against `days`, as they are told.
fn findings(definitions: &str, today: &str, days: &[String]) -> Vec<String> {
    let dir = Dir::new();
    dir.write("adprof.toml", definitions);
    dir.write("today.ndjson", today);
    let mut args = "check --data today.ndjson".to_owned();
    for (i, day) in days.iter().enumerate() {
        dir.write(&format!("day{i}"), day);
        args += &format!("{}day{i}", if i == 0 { " --against " } else { " " });
    }
    let output = dir.adprof(&args).output();
    let told: Vec<String> =
        output.stderr.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    assert_eq!(output.code, if told.is_empty() { 0 } else { 65 }, "{}", output.stderr);
    let json = dir.adprof(&format!("{args} --json")).output();
    assert_eq!(json.code, output.code);
    let json: Value = serde_json::from_str(&json.stdout).expect("one object");
    assert_eq!(json["ok"], told.is_empty());
    let of = |f: &Value| f["figure"].as_str().expect("a figure").to_owned();
    let figures: Vec<String> = json["failed"].as_array().expect("a list").iter().map(of).collect();
    assert!(
        told.len() == figures.len() && told.iter().zip(&figures).all(|(t, f)| t.contains(f.as_str())),
        "{told:?} {figures:?}"
    );
    told
}

#[test]
fn each_threshold_holds_at_its_edge_and_not_past_it() {
    let today = patches(100, &TEN, 4);
    let nulls = patches(100, &["1", "null", "3", "4", "5", "6", "7", "8", "9", "10.5"], 4);
    for (all, number, text, patches, want) in [
        ("", "", "", &today, ""),
        ("", "min = 1\nmax = 10.5", "distinct_min = 4, distinct_max = 4", &today, ""),
        ("", "min = 1.000001", "", &today, "tag `n`: min 1: at least 1.000001 (min); no day before"),
        ("", "max = 10.499999", "", &today, "tag `n`: max 10.5: at most 10.499999 (max); no day before"),
        ("", "", "distinct_min = 5", &today, "tag `s`: distinct values 4: at least 5 (distinct_min); no day before"),
        ("", "", "distinct_max = 3", &today, "tag `s`: distinct values 4: at most 3 (distinct_max); no day before"),
        ("", "nulls_max = \"10%\"", "", &nulls, ""),
        (
            "",
            "nulls_max = \"9.999999%\"",
            "",
            &nulls,
            "tag `n`: nulls 10%: at most 9.999999% (nulls_max); no day before",
        ),
    ] {
        assert_eq!(findings(&definitions(all, number, text), patches, &[]).join("\n"), want, "{all} {number} {text}");
    }
}

#[test]
fn a_day_is_compared_with_the_median_of_the_days_before_it() {
    // Rows 4, 10 and 6: the median is 6, yesterday (by as-of) had 10.
    let days = [patches(20, &TEN, 4), patches(10, &TEN[..4], 4), patches(15, &TEN[..6], 4)];
    let plain = definitions("", "", "");
    for (n, want) in [(3, ""), (2, "rows 2: at most 50% below 6, the median of 3 days (rows_fall_max); yesterday 10")] {
        assert_eq!(findings(&plain, &patches(100, &TEN[..n], 1), &days).join("\n"), want, "{n}");
    }
    let rise = definitions("rows_rise_max = \"50%\"\nrows_fall_max = \"100%\"", "", "");
    for (n, want) in
        [(1, ""), (9, ""), (10, "rows 10: at most 50% above 6, the median of 3 days (rows_rise_max); yesterday 10")]
    {
        assert_eq!(findings(&rise, &patches(100, &TEN[..n], 1), &days).join("\n"), want, "{n}");
    }
    // Sums 10, 55.5 and 21; values 4, 10 and 6.
    let change = definitions("change_max = \"200%\"", "change_max = \"100%\"", "");
    for (numbers, want) in [
        (&["42"; 1][..], "rows 1: at most 50% below 6, the median of 3 days (rows_fall_max); yesterday 10"),
        (&["7"; 6], ""),
        (&["7.1"; 6], "tag `n`: sum 42.6: at most 100% from 21, the median of 3 days (change_max); yesterday 55.5"),
        (&["null"; 6], "tag `n`: values 0: 6 is the median of 3 days; yesterday 10"),
    ] {
        assert_eq!(findings(&change, &patches(100, numbers, 1), &days).join("\n"), want, "{numbers:?}");
    }
    // Only the last days count, and none where none is wanted.
    let short = definitions("days = 1", "", "");
    let want = "rows 4: at most 50% below 10, the median of 1 day (rows_fall_max); yesterday 10";
    assert_eq!(findings(&short, &patches(100, &TEN[..4], 1), &days).join("\n"), want);
    assert!(findings(&definitions("days = 0", "", ""), &patches(100, &TEN[..1], 1), &days).is_empty());
}

#[test]
fn values_of_another_type_and_tags_that_are_gone_are_found_without_any_threshold() {
    let plain = definitions("", "", "");
    let odd = patches(100, &["1", "\"2\"", "3", "true"], 4);
    let want = "tag `n`: another type in 2 of 4 rows: every value is decimal; no day before";
    assert_eq!(findings(&plain, &odd, &[]).join("\n"), want);
    let before = [patches(50, &TEN, 4)];
    let gone = patches(100, &TEN, 4).replace("\"n\"", "\"m\"");
    assert_eq!(findings(&plain, &gone, &before).join("\n"), "tag `n`: values 0: no row names the tag; yesterday 10");
}

#[test]
fn duplicates_and_refused_lines_are_those_of_the_run() {
    let dir = Dir::new();
    let event = |id: u32| crate::support::event(id.into());
    // Of 8 good lines 4 are duplicates, of 10 lines 2 are refused.
    let good: String = (0..4).map(|id| event(id).repeat(2)).collect();
    dir.write("log.ndjson", format!("{good}junk\njunk\n"));
    let text = "[[tag]]\ncode = 'n'\nvalue = 'count(*)'\nupdate = 'daily'\n";
    for (all, code, words) in [
        ("", 65, &["refused lines 20%: at most 10% (refused_max)"][..]),
        ("refused_max = '20%'", 0, &[]),
        ("refused_max = '20%'\nduplicates_max = '49.9%'", 65, &["duplicates 50%: at most 49.9% (duplicates_max)"]),
        ("refused_max = '0%'\nduplicates_max = '0%'", 65, &["duplicates 50%", "refused lines 20%"]),
    ] {
        dir.write("adprof.toml", format!("[quality]\n{all}\n{text}"));
        dir.adprof("batch --log log.ndjson -o p --manifest").exits(0);
        let output = dir.adprof("check --data p").exits(code);
        words.iter().for_each(|w| assert!(output.stderr.contains(w), "{all}: {}", output.stderr));
    }
    // Without its manifest nothing is known of the run.
    std::fs::rename(dir.file("p.manifest.json"), dir.file("m.json")).expect("renamed");
    dir.adprof("check --data p").exits(0);
    dir.adprof("check --data p --manifest m.json").exits(65);
}

#[test]
fn an_output_that_is_not_the_one_of_its_manifest_is_found() {
    let dir = Dir::new();
    dir.write("log.ndjson", (0..50).map(crate::support::event).collect::<String>());
    dir.adprof("batch --log log.ndjson --tags all -o p --manifest").ok();
    dir.adprof("check --data p").exits(0);
    let whole = dir.read("p");
    let other = whole.replacen("\"clicks_1h_count\":1", "\"clicks_1h_count\":2", 1);
    assert_ne!(other, whole);
    let first = whole.lines().next().expect("a line").len() + 1;
    for (bytes, words) in [
        (&whole[first..], "p: not the output that p.manifest.json describes: 49 rows in "),
        (&other, "p: not the output that p.manifest.json describes: 50 rows in "),
        (&whole[..whole.len() - 9], "p:50: not a patch"),
        ("", "0 rows in 0 bytes"),
    ] {
        dir.write("p", bytes);
        let output = dir.adprof("check --data p").exits(65);
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    dir.write("p", &whole);
    dir.write("p.manifest.json", "{\"version\":9}");
    assert!(dir.adprof("check --data p").exits(65).stderr.contains("p.manifest.json: a manifest of version 9"));
    dir.adprof("check --data nothing").exits(66);
    dir.adprof("check --data - --sample log.ndjson").exits(2);
    assert!(dir.adprof("check --data -").stdin(whole).exits(0).stderr.contains("stdin: 50 rows, 5 tags"));
}

#[test]
fn a_tag_that_was_defined_anew_is_not_compared_with_what_it_was() {
    let dir = Dir::new();
    dir.write("log.ndjson", (0..90).map(crate::support::event).collect::<String>());
    let tag = |value: &str| {
        format!("[quality]\nchange_max = '1%'\n[[tag]]\ncode = 'n'\nvalue = '{value}'\nupdate = 'daily'\n")
    };
    dir.write("adprof.toml", tag("count(*)"));
    dir.adprof("batch --log log.ndjson -o a --manifest").ok();
    dir.write("adprof.toml", tag("max(LENGTH(eventType))"));
    dir.adprof("batch --log log.ndjson -o b --manifest").ok();
    dir.adprof("check --data b --against a.manifest.json").exits(0);
    // The patches alone do not say what they mean.
    assert!(dir.adprof("check --data b --against a").exits(65).stderr.contains("tag `n`: sum"));
}

#[test]
fn thresholds_that_cannot_be_meant_are_mistakes_of_the_file() {
    let dir = Dir::new();
    for (all, number, text, words) in [
        ("rows_fall_max = 5", "", "", "adprof.toml:2:17: `rows_fall_max` takes a share such as \"5%\", not integer"),
        ("rows_fall_max = \"5\"", "", "", "`rows_fall_max` takes a share such as \"5%\", not \"5\""),
        ("rows_fall_max = \"-5%\"", "", "", "takes a share such as \"5%\", not \"-5%\""),
        ("days = -1", "", "", "`days` takes a whole number, not negative, not -1"),
        ("days = 5000", "", "", "`days` is at most 1000"),
        ("dayz = 5", "", "", "unknown key in `quality`: dayz"),
        ("", "min = \"1\"", "", "`min` takes a number, not string"),
        ("", "min = 0.0000001", "", "`min` takes a number of at most six places"),
        ("", "min = 5\nmax = 4", "", "`max` is below `min`: 4 < 5"),
        ("", "nul_max = \"5%\"", "", "unknown key in `quality` of a tag: nul_max"),
        ("", "", "min = 1", "`min` takes a tag of numbers, not string"),
        ("", "", "distinct_max = 1.5", "`distinct_max` takes a whole number, not negative"),
    ] {
        dir.write("adprof.toml", definitions(all, number, text));
        let output = dir.adprof("check").exits(78);
        assert!(output.stderr.contains(words) && output.stderr.contains('^'), "{words}:\n{}", output.stderr);
    }
    dir.write("adprof.toml", "quality = 5\n");
    assert!(dir.adprof("check").exits(78).stderr.contains("`quality` takes a table, not integer"));
}
