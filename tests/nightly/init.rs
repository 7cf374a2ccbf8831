//! `adprof init nightly`, `cron` and `systemd`: what they write works as it stands, whatever the folder is called.

use super::night::{Night, date};
use crate::support::{Dir, adprof_path, project};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

const ODD: &str = "it's 5% of $HOME";

/// A log in a folder whose name has all that shells, crontabs and units treat specially; its files where `init` looks.
fn odd() -> (Night, String) {
    let night = Night::with_days([17, 18]);
    let folder = night.0.file(ODD);
    fs::create_dir(&folder).expect("made");
    fs::rename(night.0.file("log"), folder.join("log")).expect("moved");
    fs::write(folder.join("adprof.toml"), adprof::tag::sample()).expect("written");
    (night, folder.display().to_string())
}

fn init(folder: &str, args: &[&str]) -> Output {
    let mut command = Command::new(adprof_path());
    command.current_dir(folder).args(["init"]).args(args).env_clear().env("TZ", "UTC");
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

const SETTINGS: [&str; 8] = ["--log", "log/", "--out", "./out", "--store", "file:store", "-o", "tools"];

/// As cron runs a command: from the home folder, with hardly any environment, by `sh`, `\%` made a `%`.
fn as_cron(command: &str) -> Output {
    let command = command.replace("\\%", "%");
    assert!(!command.is_empty());
    Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("sh")
}

#[test]
fn the_line_of_cron_runs_a_night_from_anywhere_and_prints_nothing() {
    let (night, folder) = odd();
    init(&folder, &[&["cron"][..], &SETTINGS].concat());
    let text = fs::read_to_string(format!("{folder}/tools/adprof.cron")).expect("written");
    let line = text.lines().last().expect("a line");
    let command = line.strip_prefix("25 0 * * * ").expect("every night");
    assert!(command.ends_with(" --seal --catch-up --wait 14400"), "{line}");
    // Nobody else seals this log.
    fs::remove_file(format!("{folder}/log/dt=2024-11-18/_SUCCESS")).expect("sealed");
    // Yesterday is not in this log; the day is named, as a person would who tries the line.
    let output = as_cron(&format!("{command} --date {}", date(18)));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len(), &*stderr), (Some(0), 0, ""));
    assert!(night.exists(&format!("{ODD}/out/latest/patches.ndjson")) && night.exists(&format!("{ODD}/store")));
}

#[test]
fn the_service_runs_the_script_with_whole_paths() {
    let (night, folder) = odd();
    init(&folder, &[&["systemd"][..], &SETTINGS].concat());
    let service = fs::read_to_string(format!("{folder}/tools/adprof-nightly.service")).expect("written");
    let value = |key: &str| {
        let line =
            service.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}\n{service}"));
        words(line)
    };
    let mut exec = value("ExecStart=");
    assert_eq!(exec[..3], ["/usr/bin/env".into(), "bash".into(), format!("{folder}/tools/nightly.sh")]);
    let variable = value("Environment=");
    assert_eq!(variable, [format!("ADPROF={}", adprof_path().display())]);
    exec.extend(["--date".into(), date(18)]);
    let mut command = Command::new(&exec[0]);
    command.args(&exec[1..]).current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").env("ADPROF", &variable[0][7..]);
    let output = command.output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
    assert!(night.exists(&format!("{ODD}/out/latest/patches.ndjson")));
    let timer = fs::read_to_string(format!("{folder}/tools/adprof-nightly.timer")).expect("written");
    assert!(timer.contains("OnCalendar=*-*-* 00:25:00 UTC\n") && timer.contains("Persistent=true\n"), "{timer}");
    let Ok(told) = Command::new("systemd-analyze")
        .args(["verify", "--man=no", &format!("{folder}/tools/adprof-nightly.service")])
        .output()
    else {
        return;
    };
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

/// The words of a line of a unit, with its quotes, `\`, `%%` and `$$` undone.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut chars, mut quoted) = (line.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            '\\' | '%' | '$' => words.last_mut().expect("one").push(chars.next().expect("a second one")),
            c => words.last_mut().expect("one").push(c),
        }
    }
    words
}

#[test]
fn the_script_is_the_one_of_this_version_and_files_are_never_overwritten() {
    let dir = Dir::new();
    let script = fs::read_to_string(project().join("scripts/nightly.sh")).expect("there");
    assert_eq!(dir.adprof("init nightly").ok(), script);
    dir.adprof("init nightly -o a/b").ok();
    assert_eq!(dir.read("a/b/nightly.sh"), script);
    assert_eq!(fs::metadata(dir.file("a/b/nightly.sh")).expect("there").permissions().mode() & 0o100, 0o100);
    dir.adprof("init nightly -o a/b").ok();
    dir.write("a/b/nightly.sh", "mine");
    assert!(dir.adprof("init nightly -o a/b").exits(2).stderr.contains("is there already and stays as it is"));
    assert_eq!(dir.read("a/b/nightly.sh"), "mine");
    // Reserved words name no files; a path does.
    let cron = dir.adprof("init cron --log l --out o --store redis").ok();
    assert!(cron.contains("--store redis --tz UTC --seal --catch-up"), "{cron}");
    let cron = dir.adprof("init cron --log l --out o --store redis --no-seal").ok();
    assert!(cron.contains("--store redis --tz UTC --catch-up"), "{cron}");
    assert!(!dir.file("cron").exists());
    dir.adprof("init ./cron").ok();
    assert_eq!(dir.read("cron"), adprof::tag::sample());
    for (args, words) in [
        ("init cron --log l --out o", "--store is not given"),
        ("init systemd --out o --store none", "--log is not given"),
        ("init cron --log l --out o --store redis://:secret@h:1", "a password"),
        ("init cron --log l --out o --store none --tz Nowhere", "unknown time zone: Nowhere"),
        ("init x.toml --no-seal", "these flags belong to nightly, cron and systemd"),
        ("init x.toml --tz UTC", "these flags belong to nightly, cron and systemd"),
    ] {
        let output = dir.adprof(args).exits(2);
        assert!(output.stderr.contains(words) && !output.stderr.contains("secret"), "{args}: {}", output.stderr);
    }
}

#[test]
fn the_script_has_nothing_that_shellcheck_minds() {
    let script = project().join("scripts/nightly.sh");
    let parsed = Command::new("bash").arg("-n").arg(&script).output().expect("bash");
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    match Command::new("shellcheck").arg(&script).output() {
        Ok(told) => assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout)),
        Err(_) => crate::support::skipped("no `shellcheck`"),
    }
}
