//! What the command says of sizes, bases and refusals, and how text fits a terminal.

use crate::support::Dir;
use crate::world::{AS_OF, cells, filled, random, tag, told};
use serde_json::{Value, json};

#[test]
fn every_line_names_versions_rules_sizes_and_the_instant() {
    let dir = random(7, 800);
    let size = |code: &str| {
        let out = dir.adprof(&format!("segment size {code} --format ndjson --as-of {AS_OF}")).ok();
        serde_json::from_str::<Value>(&out).expect("a line")
    };
    let (adults, vips) = (size("adults"), size("vips"));
    for line in told(&dir, "adults --against vips") {
        assert_eq!((&line["segment"], &line["version"]), (&json!("adults"), &adults["version"]));
        assert_eq!((&line["rule"], &line["asOf"]), (&json!("age >= 18"), &json!(AS_OF)));
        assert_eq!((&line["size"], &line["minCell"]), (&adults["size"], &json!(10)));
        let against = json!({"segment": "vips", "version": vips["version"], "rule": "vip", "size": vips["size"]});
        assert_eq!(line["against"], against);
    }
    let typed = &told(&dir, "adults")[0];
    assert_eq!(typed["against"], json!({"segment": "all", "size": 800}));
    let out =
        dir.adprof(&format!("segment insight --as-of {AS_OF} --tags age --format ndjson --where")).arg("age >= 18");
    let typed: Value = serde_json::from_str(&out.ok()).expect("a line");
    assert_eq!((&typed["version"], &typed["segment"]), (&adults["version"], &Value::Null));
    assert_eq!((&typed["tag"], &typed["named"]), (&json!("age"), &json!(true)));
}

#[test]
fn cells_add_up_to_the_sizes_and_the_most_telling_tag_is_first() {
    for (seed, args) in
        [(1, "adults"), (2, "vips --against adults"), (3, "oslo --min-cell 40"), (4, "seniors --against minors")]
    {
        let lines = told(&random(seed, 900), args);
        let distances: Vec<f64> = lines.iter().map(|line| line["distance"].as_f64().expect("a number")).collect();
        assert!(distances.is_sorted_by(|a, b| a >= b), "{args}: {distances:?}");
        for line in &lines {
            if ["likes", "counts"].contains(&line["tag"].as_str().expect("a code")) {
                continue;
            }
            let sum = |key: &str| cells(line).iter().map(|cell| cell[key].as_u64().expect("a count")).sum::<u64>();
            assert_eq!(sum("count"), line["size"], "{args}: {line}");
            assert_eq!(sum("base"), line["against"]["size"], "{args}: {line}");
        }
    }
}

#[test]
fn an_audience_against_itself_is_100_everywhere() {
    for line in told(&random(5, 600), "adults --against adults") {
        for cell in cells(&line).iter().filter(|cell| cell["base"] != 0) {
            let figures = ["index", "low", "high"].map(|key| cell[key].as_f64().expect("a number"));
            assert_eq!((figures, &cell["differs"]), ([100.0; 3], &json!(false)), "{cell}");
        }
        assert_eq!(line["distance"], 0);
    }
}

#[test]
fn a_base_may_be_smaller_than_the_audience_or_apart_from_it() {
    let dir = random(6, 1200);
    let lines = told(&dir, "adults --against seniors");
    assert_eq!(lines[0]["both"], lines[0]["against"]["size"]);
    assert!(lines[0]["size"].as_u64() > lines[0]["against"]["size"].as_u64());
    let apart = told(&dir, "seniors --against minors");
    let age = tag(&apart, "age");
    assert_eq!(age["both"], 0);
    assert!(age["distance"].as_f64() > Some(0.8), "{age}");
    // Where the base has nobody there is no index.
    let lines = told(&dir, "--where vip=false --against vips --tags vip");
    let vip = tag(&lines, "vip");
    assert_eq!(
        (&vip["distance"], &cells(vip)[0]["value"], &cells(vip)[0]["base"]),
        (&json!(1), &json!(false), &json!(0))
    );
    assert_eq!((&cells(vip)[0]["index"], &cells(vip)[0]["differs"]), (&Value::Null, &json!(false)));
}

fn small() -> Dir {
    filled((0..200).map(|i| {
        let age = if i < 7 { 70 } else { 20 + i % 30 };
        format!(
            r#"{{"userId":"u-{i:03}","asOf":1,"tags":{{"age":{age},"vip":{},"city":"{}"}}}}"#,
            i < 103,
            if i < 3 { "Bø" } else { "Oslo" }
        )
    }))
}

#[test]
fn too_few_people_are_refused_with_words_and_codes() {
    let dir = small();
    let refused = |args: &str, code| dir.adprof(&format!("segment insight {args}")).exits(code).stderr;
    let few = refused("seniors", 77);
    assert!(
        few.contains("the audience is too small to be told of: fewer than 10 people") && few.contains("hint:"),
        "{few}"
    );
    assert!(refused("vips --against seniors", 77).contains("the base is too small"));
    assert!(refused("nobody", 66).contains("nobody is in the audience: there is nothing to compare"));
    assert!(refused("vips --against nobody", 66).contains("nobody is in the base"));
    // All but three live in Oslo: the rest would be told by subtraction.
    assert!(refused("oslo", 77).contains("audience and base differ by too few"));
    assert!(refused("sports", 2).contains("unknown segment: sports"));
    assert!(refused("vips --against sport", 2).contains("unknown segment: sport"));
    assert!(refused("", 2).contains("no rule given"));
    assert!(refused("vips --tags nothing", 2).contains("unknown tag: nothing"));
    assert_eq!(told(&dir, "seniors --min-cell 7")[0]["size"], 7);
}

#[test]
fn a_few_people_are_hidden_and_cannot_be_worked_out() {
    let dir = small();
    let lines = told(&dir, "vips --tags city,vip");
    // Three of the audience live in Bø: with two cities, neither is told.
    let city = cells(tag(&lines, "city"));
    assert_eq!(city.len(), 1);
    assert_eq!((&city[0]["kind"], &city[0]["few"], &city[0]["count"]), (&json!("other"), &json!(true), &json!(103)));
    let vip = cells(tag(&lines, "vip"));
    assert_eq!((&vip[0]["value"], &vip[0]["count"], &vip[1]["count"]), (&json!(true), &json!(103), &json!(0)));
    let open = told(&dir, "vips --tags city --min-cell 0");
    assert_eq!(cells(tag(&open, "city"))[1]["count"], 3);
}

/// The columns that a text takes.
fn width(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("  ")).map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn text_fits_the_width_and_the_locale() {
    let dir = random(8, 700);
    let args = format!("segment insight adults --format text --as-of {AS_OF}");
    for columns in [40, 60, 72, 80, 96, 100, 133, 200] {
        let text = dir.adprof(&format!("{args} --width {columns}")).ok();
        assert!(width(&text) <= columns, "{columns}: {}\n{text}", width(&text));
        assert!(columns < 60 || text.contains('█') && width(&text) > columns - 10, "{columns}\n{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.contains("95 %\n") || text.contains("95 %  "), columns >= 72, "{columns}\n{text}");
    }
    let plain = dir.adprof(&args).env("LC_ALL", "C").ok();
    let bars = plain.lines().filter(|line| line.starts_with("  ")).all(|line| !line.contains(['█', '▓', '░', '…']));
    assert!(bars && plain.contains("###"), "{plain}");
    let painted = dir.adprof(&args).env("NO_COLOR", "").arg("--color").arg("always").ok();
    assert!(painted.contains("\u{1b}[32m"), "{painted}");
    dir.adprof(&format!("{args} --width 39")).exits(2);
}

#[test]
fn files_are_written_by_their_names_and_as_a_whole() {
    let dir = random(9, 300);
    let at = format!("segment insight adults --as-of {AS_OF}");
    dir.adprof(&format!("{at} -o a.html")).exits(0);
    dir.adprof(&format!("{at} -o a.ndjson")).exits(0);
    dir.adprof(&format!("{at} -o a.txt --color always")).exits(0);
    assert!(dir.read("a.html").starts_with("<!DOCTYPE html>"));
    assert!(dir.read("a.ndjson").starts_with("{\"segment\":\"adults\""));
    assert!(dir.read("a.txt").starts_with("adults  version "));
    // Refused, the old page stays.
    let told = dir.adprof(&format!("{at} --min-cell 1000 -o a.html")).exits(77).stderr;
    assert!(told.contains("too small"), "{told}");
    assert!(dir.read("a.html").starts_with("<!DOCTYPE html>"));
    assert_eq!(dir.adprof(&at).ok(), dir.read("a.ndjson"));
}
