//! Bad input and missing input: counted, kept, told, and never in the way of what is good.

use crate::event;
use crate::support::{Dir, adprof_path};
use adprof::dead::DeadLetter;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

const TS: i64 = 1_731_296_325_000;

fn clicks(n: usize) -> String {
    (0..n).map(|i| event(&format!("e{i}"), "click", TS, "")).collect()
}

fn count(out: &str) -> &str {
    let at = out.find("clicks_1h_count\":").expect("a count") + "clicks_1h_count\":".len();
    out[at..].split(['}', ',']).next().expect("a number")
}

#[test]
fn a_last_line_without_an_end_counts_when_it_is_an_event_and_is_told_when_it_is_half_of_one() {
    let dir = Dir::new();
    let whole = clicks(3);
    dir.write("whole.ndjson", whole.trim_end());
    dir.write("half.ndjson", &whole[..whole.len() - 20]);
    let told = dir.adprof("batch --log whole.ndjson --tags clicks_1h_count").exits(0);
    assert_eq!(count(&told.stdout), "3");
    assert!(!told.stderr.contains("warning"), "{}", told.stderr);
    let told = dir.adprof("batch --log half.ndjson --tags clicks_1h_count --dead dead --max-errors 0").exits(0);
    assert_eq!(count(&told.stdout), "2");
    let bytes = whole.len() / 3 - 20;
    let words = format!("half.ndjson: the last {bytes} bytes, from {} on, end no line", 2 * whole.len() / 3);
    assert!(told.stderr.contains(&words), "{}", told.stderr);
    assert!(!told.stderr.contains("refused") && !dir.file("dead").exists(), "{}", told.stderr);
    // A pipe is not torn by a crash of its writer's disk: there the half line is a bad line.
    let told = dir.adprof("batch --log - --tags clicks_1h_count").stdin(&whole[..whole.len() - 20]).exits(0);
    assert_eq!(count(&told.stdout), "2");
    assert!(told.stderr.contains("stdin: byte") && told.stderr.contains("1 refused, NOT_JSON 1"), "{}", told.stderr);
}

#[test]
fn bad_lines_are_counted_by_code_and_kept_with_their_place_and_bytes() {
    let dir = Dir::new();
    let bad: [&[u8]; 4] =
        [b"{\"eventId\":", b"[1]", b"\xff\xfe", br#"{"eventId":"e","userId":"u","eventType":"click"}"#];
    let mut log = Vec::new();
    let mut want = Vec::new();
    for (i, line) in bad.iter().enumerate() {
        log.extend_from_slice(event(&format!("e{i}"), "click", TS, "").as_bytes());
        want.push((log.len() as u64, line.to_vec()));
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    let path = dir.write("events.ndjson", &log);
    let told = dir.adprof("batch --log events.ndjson --tags clicks_1h_count --dead dead.ndjson").exits(0);
    assert_eq!(count(&told.stdout), "4");
    assert!(told.stderr.contains("4 events, 4 refused, "), "{}", told.stderr);
    for code in ["NOT_JSON 1", "NOT_OBJECT 1", "NOT_UTF8 1", "MISSING_FIELD 1"] {
        assert!(told.stderr.contains(code), "{code}: {}", told.stderr);
    }
    assert!(told.stderr.contains("warning: events.ndjson:2: "), "{}", told.stderr);
    let text = dir.read("dead.ndjson");
    let letters: Vec<DeadLetter> = text.lines().map(|l| DeadLetter::parse(l.as_bytes()).expect("a letter")).collect();
    for (letter, (offset, line)) in letters.iter().zip(&want) {
        assert_eq!(letter.source, "events.ndjson");
        assert_eq!(letter.place, adprof::dead::Place::Byte { offset: *offset });
        assert_eq!(letter.replay().expect("whole"), line.as_slice());
    }
    assert_eq!(letters.len(), 4);
    // A packed log names the same places.
    let packed = zstd::stream::encode_all(&log[..], 1).expect("in memory");
    std::fs::write(path, packed).expect("written");
    std::fs::remove_file(dir.file("dead.ndjson")).expect("there");
    dir.adprof("batch --log events.ndjson --tags clicks_1h_count --dead dead.ndjson").exits(0);
    assert_eq!(dir.read("dead.ndjson"), text);
}

#[test]
fn too_much_bad_input_is_65_and_how_much_that_is_can_be_said() {
    let dir = Dir::new();
    let log = |good: usize, bad: usize| clicks(good) + &"nonsense\n".repeat(bad);
    for (good, bad, flags, code) in [
        (0, 3, "", 65),
        (1, 3, "", 0),
        (0, 0, "", 0),
        (9, 1, "--max-errors 1", 0),
        (9, 2, "--max-errors 1", 65),
        (9, 1, "--max-errors 0", 65),
        (9, 1, "--max-errors 10%", 0),
        (8, 2, "--max-errors 10%", 65),
        (0, 3, "--max-errors 3", 0),
    ] {
        dir.write("events.ndjson", log(good, bad));
        let told = dir.adprof(&format!("batch --log events.ndjson {flags}")).exits(code);
        assert_eq!(told.stdout.lines().count(), usize::from(good > 0), "what was good is told all the same");
        assert_eq!(told.stderr.contains("hint: --dead FILE"), code == 65, "{}", told.stderr);
    }
    // Blank lines are no lines.
    dir.write("events.ndjson", "\n\nnonsense\n \n");
    dir.adprof("batch --log events.ndjson").exits(65);
}

#[test]
fn no_log_is_66_and_one_that_may_not_be_read_77() {
    let dir = Dir::new();
    for flags in ["", "--log nowhere", "--log nowhere/deep", "--log ad-events.log --log x"] {
        let told = dir.adprof(&format!("batch {flags}")).exits(66);
        assert!(told.stderr.starts_with("adprof batch: ") && told.stdout.is_empty(), "{}", told.stderr);
    }
    dir.write("events/dt=2024-11-11/web-00001.ndjson", clicks(1));
    let folder = dir.file("events");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o000)).expect("set");
    let mut command = Command::new(adprof_path());
    command.args(["batch", "--log"]).arg(&folder).current_dir("/");
    if rustix_is_root() {
        // Root may read everything: someone else tries, who must be able to run the program at all.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
        command.uid(65_534).gid(65_534);
    }
    let told = command.output();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("set");
    let Ok(told) = told else { return crate::support::skipped("the program is out of another user's reach") };
    assert_eq!(told.status.code(), Some(77), "{}", String::from_utf8_lossy(&told.stderr));
}

fn rustix_is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

#[test]
fn broken_packed_logs_are_errors_that_say_where() {
    let dir = Dir::new();
    let packed = zstd::stream::encode_all(clicks(2000).as_bytes(), 1).expect("in memory");
    dir.write("cut.zst", &packed[..packed.len() / 2]);
    let told = dir.adprof("batch --log cut.zst -o out.ndjson").exits(74);
    assert!(told.stderr.contains("cut.zst") && told.stderr.contains("cut off at byte"), "{}", told.stderr);
    assert!(!dir.file("out.ndjson").exists());
}

#[test]
fn a_set_of_definitions_without_daily_tags_or_with_unknown_ones_says_so() {
    let dir = Dir::new();
    dir.write("ad-events.log", clicks(1));
    let told = dir.adprof("batch --tags ltv_totl").exits(2);
    assert!(told.stderr.contains("hint: did you mean ltv_total?"), "{}", told.stderr);
    dir.write("adprof.toml", "[[tag]]\ncode = \"n\"\nvalue = \"count(*)\"\n");
    let told = dir.adprof("batch").exits(78);
    assert!(told.stderr.contains("update = \"daily\"") && told.stderr.contains("hint: "), "{}", told.stderr);
    assert!(dir.adprof("batch --tags all").ok().contains("\"n\":1"));
}
