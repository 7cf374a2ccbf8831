//! Several segments at once, and OpenRTB.

use crate::world::hard;
use serde_json::Value;

#[test]
fn of_several_segments_everybody_in_one_is_written_with_those_he_is_in() {
    let dir = hard();
    let csv = dir.adprof("export -q --segment vips --segment adults --segment vips --tags age").ok();
    let want = "userId,age,segments\n\
                \x20padded ,9223372036854775807,\"[\"\"adults\"\"]\"\n\
                Anna@Example.org,-7,\"[\"\"vips\"\"]\"\n\
                u-001,31,\"[\"\"adults\"\",\"\"vips\"\"]\"\n";
    assert_eq!(csv, want);
    let ndjson = dir.adprof("export -q --segment adults --segment vips --tags age --format ndjson").ok();
    let lines: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["segments"], serde_json::json!(["adults", "vips"]));
    assert_eq!(lines[2]["tags"], serde_json::json!({"age": 31}));
    let out = dir.adprof("export --segment adults --segment vips -o a.csv --manifest").exits(0);
    assert!(
        out.stderr.contains("exported 3 of 9 profiles") && out.stderr.contains("; adults, version "),
        "{}",
        out.stderr
    );
    let manifest: Value = serde_json::from_str(&dir.read("a.csv.manifest.json")).expect("JSON");
    let codes: Vec<_> =
        manifest["rules"].as_array().expect("rules").iter().map(|rule| rule["segment"].as_str()).collect();
    assert_eq!(codes, [Some("adults"), Some("vips")]);
    // One is as it always was.
    assert_eq!(dir.adprof("export -q --segment vips --tags age").ok(), "userId,age\nAnna@Example.org,-7\nu-001,31\n");
}

#[test]
fn openrtb_is_a_user_object_with_the_active_segments_he_is_in() {
    let dir = hard();
    let line = |id: &str, segments: &str, provider: &str| {
        format!(r#"{{"id":"{id}","data":[{{"id":"{provider}","name":"{provider}","segment":[{segments}]}}]}}"#) + "\n"
    };
    let (adults, vips) = (r#"{"id":"adults","name":"Grown \"ups\""}"#, r#"{"id":"vips","name":"vips"}"#);
    let all = |provider: &str| {
        line(" padded ", adults, provider)
            + &line("Anna@Example.org", vips, provider)
            + &line("u-001", &format!("{adults},{vips}"), provider)
    };
    assert_eq!(dir.adprof("export -q --format openrtb").ok(), all("adprof"));
    assert_eq!(dir.adprof("export -q --format openrtb --provider dsp.example").ok(), all("dsp.example"));
    assert_eq!(
        dir.adprof("export -q --format openrtb --segment vips").ok(),
        line("Anna@Example.org", vips, "adprof") + &line("u-001", vips, "adprof")
    );
    dir.adprof("export -q --format openrtb --partitions 2 -o out").ok();
    assert!(dir.file("out/part-00001.ndjson").exists());
    assert_eq!(dir.adprof("export -q --format openrtb --segment drafts").ok().lines().count(), 1);
}

#[test]
fn what_does_not_go_together_says_so() {
    let dir = hard();
    for (args, why) in [
        ("--format openrtb --where vip", "no name"),
        ("--format openrtb --tags age", "segments and no tags"),
        ("--segment adults --where vip", "cannot be used with"),
        ("--segment adult", "did you mean adults?"),
    ] {
        let out = dir.adprof(&format!("export {args}")).exits(2);
        assert!(out.stderr.contains(why), "{args}: {}", out.stderr);
    }
    let text =
        dir.read("adprof.toml").replace("code = \"city\"", "code = \"segments\"").replace("city IS", "segments IS");
    dir.write("adprof.toml", text);
    let both = "export -q --segment adults --segment vips";
    assert!(dir.adprof(both).exits(2).stderr.contains("`segments` is a tag"));
    dir.adprof(&format!("{both} --tags age")).ok();
    dir.adprof(&format!("{both} --format ndjson")).ok();
    let none = dir.read("adprof.toml").split("[[segment]]").next().expect("tags").to_string();
    dir.write("adprof.toml", none);
    assert!(dir.adprof("export --format openrtb").exits(2).stderr.contains("no segment is active"));
}
