//! Nights with and without roll-ups, side by side: the same files and the same profiles, whatever came between.

use super::night::{Night, date, listed, noon, purchase};
use std::fs;

const RULES: &str = r#"
[quality]
rows_fall_max = "90%"

[[tag]]
code = "ltv_total"
value = "sum(amount)"
update = "daily"
quality = { max = 500 }

[[tag]]
code = "segment_id"
value = "CASE WHEN ltv_total >= 100 THEN 'high' WHEN spent_2d > 10 THEN 'busy' ELSE 'low' END"
update = "daily"

[[tag]]
code = "spent_2d"
value = "sum(amount)"
window = "2d"
update = "daily"

[[entity]]
name = "hour"
key = ["eventType", "tumble(timestamp, '1h')"]
retain = "36h"

[[tag]]
code = "hour_users"
entity = "hour"
value = "count(DISTINCT userId)"
update = "daily"
"#;

/// Two folders to which the same happens; the nights of the second one use roll-ups.
struct Pair([Night; 2]);

impl Pair {
    fn each(&self, what: impl Fn(&Night)) {
        self.0.iter().for_each(what);
    }

    fn receive(&self, day: u32, id: &str, user: u32, amount: &str, at: i64) {
        self.each(|night| night.receive(&date(day), &purchase(id, &format!("u-{user:02}"), amount, at)));
    }

    /// A night on both sides, which ends with `code` and says the same.
    fn night(&self, args: &str, code: i32) {
        let plain = self.0[0].run(args);
        let rolled = self.0[1].run(&format!("{args} --rollups rollups"));
        assert_eq!(rolled, plain, "{args}");
        assert_eq!(plain.0, code, "{args}: {}", plain.2);
        assert!(!self.0[0].exists("rollups"));
        let (plain, rolled) = (self.0[0].outputs(), self.0[1].outputs());
        for (name, bytes) in &plain {
            let text = String::from_utf8_lossy(bytes);
            let other = rolled.get(name).map(|bytes| String::from_utf8_lossy(bytes));
            assert_eq!(other.as_deref(), Some(&*text), "{args}: {name}");
        }
        assert!(plain == rolled, "{args}:\n{}\n{}", listed(&plain), listed(&rolled));
        for entity in ["user", "hour"] {
            let export = format!("export --format ndjson --store file:store --entity {entity}");
            let export = |night: &Night| night.0.adprof(&export).output();
            let (rolled, plain) = (export(&self.0[1]), export(&self.0[0]));
            assert_eq!((rolled.code, rolled.stdout), (plain.code, plain.stdout), "{args}: {entity}");
        }
    }

    /// The first and the last event time, and how many counted, in the manifest of a day.
    fn figures(&self, day: u32) -> (u64, i64, i64) {
        let text = self.0[1].0.read(&format!("out/dt={}/patches.ndjson.manifest.json", date(day)));
        let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let number = |name: &str| manifest["events"][name].as_i64().expect("a number");
        (manifest["events"]["counted"].as_u64().expect("a number"), number("first"), number("last"))
    }
}

const MIDNIGHT: i64 = 43_200_000;

#[test]
fn nights_with_roll_ups_write_the_bytes_of_those_without() {
    // Six days, twenty purchases each.
    let pair = Pair([Night::with_days(14..20), Night::with_days(14..20)]);
    pair.each(|night| {
        night.0.write("adprof.toml", RULES);
        // Only the first two are sealed: the rest is for the nights.
        (16..20)
            .for_each(|day| fs::remove_file(night.0.file(&format!("log/dt={}/_SUCCESS", date(day)))).expect("sealed"));
    });
    pair.night(&format!("--date {} --seal", date(14)), 0);
    assert_eq!(pair.figures(14), (20, noon(14), noon(14) + 19));
    // Not sealed by this run, nor by anybody.
    pair.night(&format!("--date {}", date(16)), 75);
    // Received on the 15th, of the next day, and of the day after that; a copy of an event of the 14th.
    pair.receive(15, "ahead", 3, "7", noon(15) + MIDNIGHT + 5);
    pair.receive(15, "far", 3, "9", noon(17) - 1);
    pair.receive(15, "14-1", 1, "400", noon(14) + 1);
    pair.night(&format!("--date {}", date(15)), 75);
    pair.night(&format!("--date {} --seal", date(15)), 0);
    assert_eq!(pair.figures(15), (40, noon(14), noon(15) + 19));
    // One of them counts now; and one came late that is older than all.
    pair.receive(16, "old", 4, "11", noon(13));
    pair.night(&format!("--date {} --seal", date(16)), 0);
    assert_eq!(pair.figures(16), (62, noon(13), noon(16) + 19));
    // A bad day; it is not published, and the next one is judged for itself once the log is mended.
    pair.receive(17, "wild", 5, "1e6", noon(17) + 30);
    pair.night(&format!("--date {} --seal", date(17)), 65);
    pair.each(|night| assert!(night.exists("out/dt=2024-11-17/patches.FAILED.ndjson")));
    pair.night(&format!("--date {} --seal --catch-up", date(17)), 65);
    // The event is taken out of the log: the day is as it was before, and sealed anew.
    pair.each(|night| {
        let folder = night.0.file("log/dt=2024-11-17");
        let mut files: Vec<_> = fs::read_dir(&folder).expect("listed").map(|f| f.expect("an entry").path()).collect();
        files.sort();
        let wild = files.iter().rfind(|file| file.extension().is_some_and(|end| end == "zst")).expect("packed");
        fs::remove_file(wild).expect("removed");
    });
    pair.night(&format!("--date {} --seal", date(17)), 74);
    pair.each(|night| fs::remove_file(night.0.file("log/dt=2024-11-17/_SUCCESS")).expect("sealed"));
    // Late for a day that is published, and for the one that is not; then all that was missed.
    pair.receive(14, "late", 6, "50", noon(14) + 40);
    pair.receive(17, "also", 6, "50", noon(16) + 40);
    pair.night(&format!("--date {} --seal --catch-up", date(19)), 0);
    assert_eq!(pair.figures(17), (85, noon(13), noon(17) + 19));
    assert_eq!(pair.figures(19), (125, noon(13), noon(19) + 19));
    assert!(pair.0[1].tags("u-06").contains("\"ltv_total\":137.5,"), "{}", pair.0[1].tags("u-06"));
    // An older day anew, definitions that changed, files that were compacted, and the same once more.
    pair.night(&format!("--date {} --again", date(15)), 0);
    pair.each(|night| {
        night.0.write("adprof.toml", RULES.replace("\"2d\"", "\"3d\""));
        night.0.adprof("log compact log").ok();
    });
    pair.night(&format!("--date {} --again", date(19)), 0);
    assert!(pair.0[1].exists("rollups/manifest"), "they were in use");
    let hours = pair.0[1].0.adprof("export --format ndjson --store file:store --entity hour").ok();
    assert!(hours.contains("\"hour_users\":20"), "{hours}");
    let noted = |night: &Night| {
        night.noted().iter().map(|line| line.split(" in ").next().expect("words").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(noted(&pair.0[1]), noted(&pair.0[0]));
}
