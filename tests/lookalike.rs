//! `adprof segment lookalike`, the whole program: who is found, how good that is said to be, and what it never does.

#[path = "lookalike/people.rs"]
mod people;
#[path = "lookalike/refused.rs"]
mod refused;
mod support;

use people::{AS_OF, People};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use support::{Dir, Output, data, project, skipped};

/// The lines of NDJSON.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn ids(text: &str) -> Vec<String> {
    lines(text).iter().map(|line| line["userId"].as_str().expect("an id").to_string()).collect()
}

fn float(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// A number to the last bit, which serde_json may be off by.
fn exact(raw: &RawValue) -> f64 {
    raw.get().parse().expect("a number")
}

/// A line of output.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    user_id: String,
    #[serde(borrow)]
    score: &'a RawValue,
    logit: &'a RawValue,
    because: Vec<Because<'a>>,
}

#[derive(serde::Deserialize)]
struct Because<'a> {
    tag: String,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    pull: &'a RawValue,
}

fn told(text: &str) -> Vec<Told<'_>> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The users in their order, each with what it is by.
fn order(text: &str) -> Vec<(f64, String)> {
    told(text).into_iter().map(|line| (-exact(line.logit), line.user_id)).collect()
}

fn report(dir: &Dir) -> Value {
    serde_json::from_str(&dir.read("report.json")).expect("a report")
}

/// A run that writes report and held-out users beside its output.
fn run(dir: &Dir, args: &str) -> Output {
    let files = "--report report.json --held-out held.ndjson --format ndjson";
    dir.adprof(&format!("segment lookalike --as-of {AS_OF} {files} {args}")).exits(0)
}

#[test]
fn a_hidden_rule_is_found_again() {
    let people = People::new(3_000, 1);
    let dir = people.store();
    let out = run(&dir, "--seed enrolled --size 120");
    let found = ids(&out.stdout);
    assert_eq!(found.len(), 120);
    let hidden = found.iter().filter(|id| people.is_hidden(id)).count();
    assert!(hidden >= 108, "{hidden} of 120 have what the seed has");
    let figures = &report(&dir)["heldOut"];
    assert!(float(&figures["lift"]) > 3.0 && float(&figures["liftLow"]) > 2.0, "{figures}");
    assert!(float(&figures["auc"]) > 0.9 && figures["betterThanRandom"] == true, "{figures}");
    assert!(!out.stderr.contains("RANDOM LIST"), "{}", out.stderr);
    assert!(out.stderr.contains("not learned from: card, card_twice (repeating the seed's rule"), "{}", out.stderr);
    assert!(out.stderr.contains("not learned from: email (nearly every value is another one"), "{}", out.stderr);
    assert!(out.stderr.contains("not learned from: never (no user has a value)"), "{}", out.stderr);
    assert!(out.stderr.contains("not learned from: always (the same for all)"), "{}", out.stderr);
    assert!(out.stderr.contains("held out: recall ") && out.stderr.contains("held out: lift "), "{}", out.stderr);
    // What brought them in is what the rule is made of.
    let reasons: BTreeSet<String> = lines(&out.stdout)
        .iter()
        .flat_map(|line| line["because"].as_array().expect("reasons").clone())
        .map(|reason| reason["tag"].as_str().expect("a tag").to_string())
        .collect();
    assert!(reasons.contains("city") && reasons.contains("visits"), "{reasons:?}");
    let first = &lines(&out.stdout)[0];
    assert!(first["because"].as_array().is_some_and(|all| all.len() <= 3), "{first}");
    let version = dir.adprof("segment size enrolled --format ndjson --as-of").arg(AS_OF.to_string()).ok();
    assert_eq!((&first["version"], &first["asOf"]), (&lines(&version)[0]["version"], &Value::from(AS_OF)));
    assert_eq!(first["segment"], "enrolled");
    // What is asked for has to be certain: an estimate above it is not enough.
    let between = (float(&figures["liftLow"]) + float(&figures["lift"])) / 2.0;
    let asked = format!("segment lookalike --as-of {AS_OF} --seed enrolled --size 120 --min-lift {between}");
    let out = dir.adprof(&asked).exits(65);
    assert!(out.stderr.contains("the list was not written"), "{}", out.stderr);
}

/// What a script of this folder prints; `None`, and a word, where there is no Python.
fn python(dir: &Dir, script: &str, files: &[&str]) -> Option<BTreeMap<String, Value>> {
    let mut command = Command::new("python3");
    command.arg("-B").arg(project().join("tests/lookalike").join(script));
    match command.args(files).current_dir(dir.path()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(serde_json::from_slice(&output.stdout).expect("figures"))
        }
        Err(e) => {
            skipped(&format!("no `python3` for the oracle: {e}"));
            None
        }
    }
}

/// The figures that Python counts from the lists, pair by pair.
fn agrees_with_python(dir: &Dir) {
    let Some(theirs) = python(dir, "oracle.py", &["report.json", "held.ndjson"]) else { return };
    let ours = &report(dir)["heldOut"];
    for (name, value) in &theirs {
        assert!((float(value) - float(&ours[name])).abs() < 1e-9, "{name}: {value}, not {}", ours[name]);
    }
    assert_eq!(theirs.len(), 6);
}

#[test]
fn the_weights_are_those_of_an_independent_solver() {
    let dir = People::new(800, 11).store();
    for l2 in ["1", "0.05"] {
        run(&dir, &format!("--seed enrolled --size 50 --l2 {l2}"));
        dir.write("profiles.ndjson", dir.adprof(&format!("export --format ndjson --as-of {AS_OF}")).ok());
        dir.write("seed.txt", dir.adprof(&format!("segment members enrolled --as-of {AS_OF}")).ok());
        let files = ["report.json", "held.ndjson", "profiles.ndjson", "seed.txt"];
        let Some(differ) = python(&dir, "newton.py", &files) else { return };
        assert!(float(&differ["features"]) > 10.0, "{differ:?}");
        for what in ["weights", "means", "intercept"] {
            assert!(float(&differ[what]) < 1e-5, "{differ:?}");
        }
    }
}

#[test]
fn the_figures_are_those_of_an_independent_count() {
    let dir = People::new(1_500, 2).store();
    for args in ["--seed enrolled --size 100", "--seed enrolled --size 40 --sample 200", "--seed enrolled --size 9999"]
    {
        run(&dir, args);
        agrees_with_python(&dir);
    }
    // All ties: nothing but a flag.
    run(&dir, "--seed enrolled --size 100 --tags vip");
    agrees_with_python(&dir);
}

#[test]
fn a_random_seed_is_told_to_be_no_better_than_random() {
    let people = People::new(1_500, 3);
    let dir = people.store();
    let some: Vec<String> = people.ids().filter(|id| people::hash(id).is_multiple_of(5)).collect();
    dir.write("some.txt", some.join("\n"));
    let out = run(&dir, "--seed-file some.txt --size 150 -q");
    let figures = &report(&dir)["heldOut"];
    assert!(float(&figures["liftLow"]) <= 1.0 && float(&figures["liftHigh"]) >= 1.0, "{figures}");
    assert_eq!(figures["betterThanRandom"], false);
    assert!(out.stderr.starts_with("warning: NO BETTER THAN A RANDOM LIST: "), "{}", out.stderr);
    assert_eq!(ids(&out.stdout).len(), 150);
    agrees_with_python(&dir);
}

#[test]
fn the_same_profiles_give_the_same_bytes() {
    let people = People::new(1_200, 4);
    let dir = people.store();
    let args = "--seed enrolled --size 100 --sample 300";
    let all = |dir: &Dir| {
        let out = run(dir, args);
        (out.stdout, out.stderr, dir.read("report.json"), dir.read("held.ndjson"))
    };
    let want = all(&dir);
    assert_eq!(all(&dir), want);
    // Written in another order, by many transactions, and beside an index.
    let other = people.shuffled(9);
    assert_eq!(all(&other), want);
    other.adprof("segment index").exits(0);
    assert_eq!(all(&other), want);
    assert_eq!(run(&dir, &format!("{args} --tags all")).stdout, want.0);
    let chance = run(&dir, "--seed enrolled --size 100 --sample 300 --rng-seed 2");
    assert_ne!(chance.stdout, want.0);
}

#[test]
fn pulls_and_intercept_are_the_logit_bit_for_bit() {
    let dir = People::new(1_200, 5).store();
    let out = run(&dir, "--seed enrolled --size 5000 --reasons all");
    #[derive(serde::Deserialize)]
    struct Report<'a> {
        #[serde(borrow)]
        intercept: &'a RawValue,
        tags: Vec<BTreeMap<String, Value>>,
    }
    let text = dir.read("report.json");
    let report: Report = serde_json::from_str(&text).expect("a report");
    let order: Vec<&str> = report.tags.iter().map(|tag| tag["tag"].as_str().expect("a code")).collect();
    let mut missing = 0;
    for Told { user_id, score, logit, because } in told(&out.stdout) {
        let pulls: BTreeMap<&str, f64> = because.iter().map(|one| (one.tag.as_str(), exact(one.pull))).collect();
        assert_eq!(pulls.len(), order.len(), "{user_id}");
        let sum = order.iter().fold(exact(report.intercept), |sum, tag| sum + pulls[tag]);
        assert_eq!(sum, exact(logit), "{user_id}");
        assert!((1.0 / (1.0 + (-sum).exp()) - exact(score)).abs() < 1e-12, "{user_id}");
        assert!(because.windows(2).all(|two| exact(two[0].pull) >= exact(two[1].pull)), "{user_id}");
        missing += because.iter().filter(|one| one.value.is_none()).count();
    }
    assert!(missing > 100, "users without some values are scored, too: {missing}");
    let plain = run(&dir, "--seed enrolled --size 5000 --reasons 2");
    let few = lines(&plain.stdout);
    let reasons = |line: &Value| line["because"].as_array().expect("reasons").clone();
    assert!(few.iter().all(|line| reasons(line).len() <= 2 && reasons(line).iter().all(|r| float(&r["pull"]) > 0.0)));
    assert_eq!(ids(&plain.stdout), ids(&out.stdout));
}

#[test]
fn the_weights_are_the_pulls_of_the_values() {
    let dir = People::new(1_200, 6).store();
    let out = run(&dir, "--seed enrolled --size 50 --reasons all --tags city,vip");
    let report = report(&dir);
    let features = |code: &str| {
        let tags = report["tags"].as_array().expect("tags");
        let tag = tags.iter().find(|tag| tag["tag"] == code).expect("learned");
        tag["features"].as_array().expect("features").clone()
    };
    for line in lines(&out.stdout) {
        for one in line["because"].as_array().expect("reasons") {
            let name = match (&one["tag"], &one["value"]) {
                (_, Value::Null) => "missing".to_string(),
                (_, Value::Bool(value)) => value.to_string(),
                (_, value) => format!("={}", value.as_str().expect("a city")),
            };
            let pull: f64 = features(one["tag"].as_str().expect("a code"))
                .iter()
                .map(|f| float(&f["weight"]) * (f64::from(u8::from(f["feature"] == name)) - float(&f["mean"])))
                .sum();
            assert!((pull - float(&one["pull"])).abs() < 1e-9, "{line}");
        }
    }
}

#[test]
fn members_of_the_seed_are_never_listed_and_everybody_else_is() {
    let people = People::new(900, 7);
    let dir = people.store();
    let members: BTreeSet<String> =
        dir.adprof(&format!("segment members enrolled --as-of {AS_OF}")).ok().lines().map(String::from).collect();
    let out = run(&dir, "--seed enrolled --size 100000");
    let listed = ids(&out.stdout);
    let all: BTreeSet<String> = people.ids().collect();
    let others: BTreeSet<String> = all.difference(&members).cloned().collect();
    assert_eq!((listed.len(), listed.iter().cloned().collect::<BTreeSet<_>>()), (others.len(), others));
    assert!(out.stderr.contains(", all there are outside of the seed, "), "{}", out.stderr);
    // Best first, and equals by their ids.
    assert!(order(&out.stdout).windows(2).all(|two| two[0] < two[1]));
    let ties = order(&run(&dir, "--seed enrolled --size 20 --tags vip").stdout);
    assert!(ties.windows(2).all(|two| two[0] < two[1]) && ties[0].0 == ties[1].0, "{ties:?}");
    // Twice as many of the seed as others.
    let most: Vec<String> = people.ids().filter(|id| !people::hash(id).is_multiple_of(3)).collect();
    dir.write("most.txt", most.join("\r\n"));
    let rest = ids(&run(&dir, "--seed-file most.txt --size 10000").stdout);
    assert_eq!(rest.len(), 900 - most.len());
    assert!(rest.iter().all(|id| !most.contains(id)));
}

#[test]
fn forgotten_users_are_neither_learned_from_nor_listed() {
    let people = People::new(600, 8);
    let dir = people.store();
    let before = ids(&run(&dir, "--seed enrolled --size 10000").stdout);
    let gone = before[0].clone();
    dir.adprof("forget - --store file:adprof-store").stdin(gone.clone()).ok();
    let after = ids(&run(&dir, "--seed enrolled --size 10000").stdout);
    assert_eq!(after.len(), before.len() - 1);
    assert!(!after.contains(&gone));
}

#[test]
fn a_tag_that_parts_the_seed_from_all_others_stays_finite() {
    let dir = People::new(600, 9).store();
    let out = run(&dir, "--seed enrolled --size 50 --with-rule-tags");
    assert!(
        out.stderr.contains("warning: learned from what repeats the seed's rule, which flatters it: card, card_twice")
    );
    let figures = report(&dir);
    assert!(float(&figures["heldOut"]["auc"]) == 1.0, "{figures}");
    for line in lines(&out.stdout) {
        assert!(float(&line["logit"]).is_finite() && float(&line["score"]) < 0.5, "{line}");
    }
}

#[test]
fn every_form_has_the_same_users_and_a_file_is_replaced_as_a_whole() {
    let dir = People::new(600, 10).store();
    let ask = |args: &str| dir.adprof(&format!("segment lookalike --seed enrolled --size 7 --as-of {AS_OF} {args}"));
    let listed = ids(&ask("").ok());
    let text = listed.join("\n") + "\n";
    assert_eq!(ask("--format ids").ok(), text);
    let table = ask("--format table").ok();
    assert!(table.starts_with("user") && table.lines().count() == 8, "{table}");
    assert!(table.lines().skip(1).zip(&listed).all(|(line, id)| line.starts_with(id.as_str())), "{table}");
    dir.write("like.txt", "old");
    assert_eq!(ask("--format ids -o like.txt").ok(), "");
    assert_eq!(dir.read("like.txt"), text);
    // Refused: what was there stays.
    let refused = ask("--format ids -o like.txt --tags vip --min-lift 1 --report r.json").exits(65);
    assert!(refused.stderr.contains("the lift is not above 1 with 95 % certainty"), "{}", refused.stderr);
    assert_eq!(dir.read("like.txt"), text);
    assert!(dir.read("r.json").contains("\"betterThanRandom\":false"));
    let few = ask("").exits(0);
    assert!(few.stderr.contains("only 2 of those held out are listed: a larger --size tells more"), "{}", few.stderr);
    run(&dir, "--seed enrolled --size 100 --min-lift 1.5");
    // The ids go on into other commands.
    assert_eq!(dir.adprof("query -").stdin(text).ok().lines().count(), 7);
}

#[test]
fn later_buyers_of_a_real_shop_are_found_by_what_they_did_before() {
    let Some(log) = data("cdnow/events.ndjson.zst") else { return };
    let packed = std::fs::read(log).expect("read");
    let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).expect("zstd")).expect("UTF-8");
    let events = lines(&text);
    let time = |event: &Value| event["timestamp"].as_i64().expect("a time");
    let mut times: Vec<i64> = events.iter().map(time).collect();
    times.sort_unstable();
    let cut = times[times.len() / 2];
    let dir = Dir::new();
    let tag = |code: &str, more: &str| format!("[[tag]]\ncode = \"{code}\"\n{more}\n");
    dir.write(
        "adprof.toml",
        tag("orders", "value = \"count(*)\"")
            + &tag("orders_90d", "value = \"count(*)\"\nwindow = \"90d\"")
            + &tag("spent", "value = \"sum(amount)\"")
            + &tag("last_ts", "value = \"max(timestamp)\"\ntype = \"datetime\""),
    );
    dir.write("events.ndjson", &text);
    let patches = dir.adprof(&format!("batch --log events.ndjson --tags all --as-of {cut}")).ok();
    dir.adprof("sink file").stdin(patches.clone()).exits(0);
    let known: BTreeSet<String> = ids(&patches).into_iter().collect();
    let later = events.iter().filter(|event| time(event) > cut);
    let later: BTreeSet<&str> = later.map(|event| event["userId"].as_str().expect("an id")).collect();
    let later: Vec<&str> = later.into_iter().filter(|id| known.contains(*id)).collect();
    // Half of those who buy after the instant of the tags are the seed; the other half is to be found among all others.
    let (seed, sought): (Vec<&str>, Vec<&str>) = later.into_iter().partition(|id| people::hash(id).is_multiple_of(2));
    dir.write("seed.txt", seed.join("\n"));
    let out =
        dir.adprof(&format!("segment lookalike --seed-file seed.txt --size 1000 --format ids --as-of {cut}")).exits(0);
    let listed: Vec<&str> = out.stdout.lines().collect();
    let hits = listed.iter().filter(|id| sought.contains(id)).count() as f64;
    let random = sought.len() as f64 / (known.len() - seed.len()) as f64;
    let lift = hits / listed.len() as f64 / random;
    assert!(lift > 2.0, "lift {lift}: {hits} hits; {} sought, {} seed\n{}", sought.len(), seed.len(), out.stderr);
}
