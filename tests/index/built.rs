//! Built audiences: kept as they were, replaced whole, with a history that adds up, whatever is killed.

use crate::laws::open;
use crate::random::Random;
use crate::store::{AS_OF, DEFINITIONS, fill, many};
use crate::support::{Dir, adprof_path, clean_environment};
use adprof::profiles::AsOf;
use adprof::segment::Rule;
use adprof::segment::matching::Matcher;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SEGMENTS: &str = r#"
[[segment]]
code = "young"
rule = "age < 30"
[[segment]]
code = "planned"
status = "draft"
rule = "age < 40"
"#;

fn folder(users: usize) -> Dir {
    let dir = many(users);
    dir.write("adprof.toml", format!("{DEFINITIONS}{SEGMENTS}"));
    dir
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn aged(ids: impl IntoIterator<Item = usize>, age: u64) -> Vec<String> {
    let line = |i| format!(r#"{{"userId":"u-{i:07}","asOf":{AS_OF},"tags":{{"age":{age}}}}}"#);
    ids.into_iter().map(line).collect()
}

fn put(dir: &Dir, lines: &[String]) {
    fill(dir, &lines.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn an_audience_stays_as_it_was_built_and_its_history_says_who_joined_and_left() {
    let dir = folder(90);
    let out = dir.adprof("segment members young --built").exits(2);
    assert!(out.stderr.contains("no audience of this segment was built: young"), "{}", out.stderr);
    let first = lines(&dir.adprof("segment build").ok());
    assert_eq!(first.len(), 1, "drafts are not built");
    assert_eq!(
        (&first[0]["size"], &first[0]["of"], &first[0]["joined"], &first[0]["left"]),
        (&30.into(), &90.into(), &30.into(), &0.into())
    );
    // Five leave, two come, and one of them is new.
    put(&dir, &aged(0..5, 50));
    put(&dir, &aged([80, 200], 7));
    assert_eq!(dir.adprof("segment size young").ok(), "27\n");
    assert_eq!(dir.adprof("segment size young --built").ok(), "30\n");
    let kept = dir.adprof("segment members young --built").ok();
    assert_eq!((kept.lines().next(), kept.lines().count()), (Some("u-0000000"), 30));
    let second = lines(&dir.adprof("segment build young").ok()).remove(0);
    assert_eq!(
        (&second["build"], &second["size"], &second["joined"], &second["left"]),
        (&2.into(), &27.into(), &2.into(), &5.into())
    );
    let members = dir.adprof("segment members young --built --format ndjson").ok();
    assert_eq!(members.lines().count(), 27);
    let newest = format!("\"version\":{},\"asOf\":{}}}", second["version"], second["asOf"]);
    assert!(members.lines().all(|line| line.ends_with(&newest)), "{members}");
    // Another rule under the same code.
    dir.write("adprof.toml", format!("{DEFINITIONS}{}", SEGMENTS.replace("age < 30", "age < 10")));
    let third = lines(&dir.adprof("segment build young").ok()).remove(0);
    assert_ne!(third["version"], second["version"]);
    assert_eq!((&third["size"], &third["joined"], &third["left"]), (&7.into(), &0.into(), &20.into()));
    let history = lines(&dir.adprof("segment history young").ok());
    assert_eq!(history, [third, second, first[0].clone()]);
    assert_eq!(dir.adprof("segment history planned").ok(), "");
    let out = dir.adprof("segment build planned").exits(2);
    assert!(out.stderr.contains("only active segments are built"), "{}", out.stderr);
    dir.adprof("segment index --check").ok();
}

#[test]
fn a_build_that_is_killed_leaves_the_former_audience_whole() {
    let dir = folder(20_000);
    dir.adprof("segment build").ok();
    let mut random = Random::new(3);
    let (mut killed, mut changed) = (0, 0);
    // How long one takes is the machine's: it is killed within that time, and again until some were caught.
    put(&dir, &aged(0..50, 20));
    let began = Instant::now();
    dir.adprof("segment build young").ok();
    let whole = began.elapsed().as_micros() as u64;
    for round in 0..200 {
        if round >= 12 && killed >= 4 {
            break;
        }
        let before = dir.adprof("segment members young --built").ok();
        put(&dir, &aged((0..50).map(|_| random.below(20_000) as usize), 20 + (round % 2) * 40));
        let mut command = Command::new(adprof_path());
        command.args(["segment", "build", "young"]).current_dir(dir.path()).env_clear().envs(clean_environment());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        std::thread::sleep(Duration::from_micros(random.below(whole)));
        // SIGKILL.
        child.kill().expect("killed");
        killed += usize::from(child.wait().expect("over").signal().is_some());
        let built = dir.adprof("segment members young --built").ok();
        let history = lines(&dir.adprof("segment history young").ok());
        assert_eq!(dir.adprof("segment size young --built").ok(), format!("{}\n", built.lines().count()));
        assert_eq!(history[0]["size"], built.lines().count());
        if built == before {
            continue;
        }
        changed += 1;
        assert_eq!(built, dir.adprof("segment members young --scan").ok());
    }
    assert!(killed >= 4, "{killed} builds were killed before they were over");
    eprintln!("{killed} builds killed, {changed} audiences replaced");
    dir.adprof("segment build").ok();
    assert_eq!(dir.adprof("segment members young --built").ok(), dir.adprof("segment members young --scan").ok());
    dir.adprof("segment index --check").ok();
}

#[test]
fn an_index_whose_build_is_killed_is_finished_by_the_next_and_never_answers_before() {
    let dir = folder(20_000);
    let want = dir.adprof("segment members young --scan").ok();
    for wait in [30, 90, 150, 250, 400] {
        let mut command = Command::new(adprof_path());
        command.args(["segment", "index"]).current_dir(dir.path()).env_clear().envs(clean_environment());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().expect("killed");
        child.wait().expect("over");
        assert_eq!(dir.adprof("segment members young").ok(), want);
    }
    dir.adprof("segment index").ok();
    dir.adprof("segment index --check").ok();
    assert_eq!(dir.adprof("segment members young").ok(), want);
}

#[test]
fn a_matcher_of_many_rules_finds_those_that_are_true_one_by_one() {
    let mut random = Random::new(17);
    let patches: Vec<String> = (0..150).map(|i| crate::random::patch(&mut random, i)).collect();
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    put(&dir, &patches);
    let odd =
        r#"{"userId":"odd","asOf":1731296325000,"tags":{"age":[1],"city":{"a":1},"ltv":3.5,"vip":"true"}}"#.to_string();
    put(&dir, &[odd]);
    let segments = crate::random::Segments::some(&mut random, 6);
    let text = format!("{DEFINITIONS}{}", segments.definitions());
    let mut profiles = open(&dir, &text, AsOf::At(AS_OF));
    let definitions = profiles.definitions().clone();
    let rules: Vec<Rule> = (0..400)
        .map(|_| crate::random::rule(&mut random, 0, &segments))
        .map(|pair| Rule::from_sql(&pair.sql, "test", &definitions).expect("well formed"))
        .collect();
    let mut matcher = Matcher::new(rules.clone(), &definitions);
    let mut found = 0;
    let mut rules = rules;
    let scanned = profiles.scan(0, |profile| {
        let one_by_one = (0..rules.len() as u32).filter(|i| rules[*i as usize].matches(&profile, AS_OF));
        let want: Vec<u32> = one_by_one.collect();
        assert_eq!(matcher.matches(&definitions, &profile, AS_OF), want, "{}", profile.key);
        found += want.len();
        Ok::<(), adprof::store::Error>(())
    });
    scanned.expect("scanned");
    assert!(found > 5_000, "{found}");
}
