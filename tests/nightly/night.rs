//! A night to be: a log of sealed days, and the script over it.

use crate::support::{Dir, Running, adprof_path, project};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Milliseconds of a day's noon, UTC: `noon(18)` is 2024-11-18T12:00:00Z.
pub fn noon(day: u32) -> i64 {
    1_731_931_200_000 + (i64::from(day) - 18) * 86_400_000
}

pub fn purchase(id: &str, user: &str, amount: &str, at: i64) -> String {
    format!(
        "{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"purchase\",\"timestamp\":{at},\"amount\":{amount}}}\n"
    )
}

/// A folder with a log in `log/`.
pub struct Night(pub Dir);

impl Night {
    /// Days of November 2024, sealed, each with a purchase of each of twenty users.
    pub fn with_days(days: impl IntoIterator<Item = u32>) -> Night {
        let night = Night(Dir::new());
        for day in days {
            let mut text = String::new();
            for user in 0..20 {
                text += &purchase(
                    &format!("{day}-{user}"),
                    &format!("u-{user:02}"),
                    &format!("{user}.25"),
                    noon(day) + user,
                );
            }
            night.receive(&date(day), &text);
        }
        night.0.adprof("log seal log").ok();
        night
    }

    /// Adds lines to a partition, in a file of its own, as a writer does it.
    pub fn receive(&self, date: &str, lines: &str) {
        let there = fs::read_dir(self.0.file(&format!("log/dt={date}"))).map_or(0, Iterator::count);
        self.0.write(&format!("log/dt={date}/a-{:05}.ndjson", there + 1), lines);
    }

    /// Seals a day, one on which nothing came, too.
    pub fn seal(&self, date: &str) {
        fs::create_dir_all(self.0.file(&format!("log/dt={date}"))).expect("made");
        self.0.adprof(&format!("log seal log --date {date}")).ok();
    }

    /// The script, in a process group of its own, with these variables besides the clean ones.
    pub fn start(&self, args: &str, vars: &[(&str, &str)]) -> Running {
        let mut command = Command::new("env");
        command.arg(format!("ADPROF={}", adprof_path().display()));
        command.args(vars.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg("bash").arg(project().join("scripts/nightly.sh"));
        command.args(["--log", "log", "--out", "out"]).args(args.split_whitespace());
        command.process_group(0);
        self.0.start_command(command)
    }

    /// Runs it to its end: exit code, or 128 and the signal, stdout, stderr.
    pub fn run_with(&self, args: &str, vars: &[(&str, &str)]) -> (i32, String, String) {
        let running = self.start(args, vars);
        let stdout = running.rest().join("\n");
        let (code, stderr) = running.end();
        (code, stdout, stderr)
    }

    /// Runs it with a store in `store/`.
    pub fn run(&self, args: &str) -> (i32, String, String) {
        self.run_with(&format!("--store file:store {args}"), &[])
    }

    /// Runs it; nothing may be said and nothing be wrong.
    pub fn quiet(&self, args: &str) {
        assert_eq!(self.run(args), (0, String::new(), String::new()), "{args}");
    }

    /// What the store answers for a user: the tags as they are in a line of `query`.
    pub fn tags(&self, user: &str) -> String {
        let line = self.0.adprof(&format!("query --store file:store --tags ltv_total,segment_id {user}")).ok();
        line.split_once("\"tags\":").expect("a profile").1.trim_end().to_owned()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.0.file(name).symlink_metadata().is_ok()
    }

    /// Everything in `out/` but what tells of runs: names and bytes; a link with what it names.
    pub fn outputs(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        collect(&self.0.file("out"), "", &mut all);
        all.retain(|name, _| name != "nightly.log" && name != ".lock");
        all
    }

    /// The lines of the log of runs, without their time.
    pub fn noted(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.file("out/nightly.log")).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
    }

    /// A program for PATH or `ADPROF`.
    pub fn tool(&self, name: &str, text: &str) -> String {
        let path = self.0.write(&format!("tools/{name}"), text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable file");
        path.display().to_string()
    }
}

pub fn date(day: u32) -> String {
    format!("2024-11-{day:02}")
}

fn collect(folder: &Path, prefix: &str, all: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_symlink() {
            let target = fs::read_link(&path).expect("a link");
            all.insert(name, format!("-> {}", target.display()).into_bytes());
        } else if path.is_dir() {
            collect(&path, &format!("{name}/"), all);
        } else {
            all.insert(name, fs::read(&path).expect("a file"));
        }
    }
}

/// Names and lengths, for a message.
pub fn listed(outputs: &BTreeMap<String, Vec<u8>>) -> String {
    let mut text = String::new();
    for (name, bytes) in outputs {
        writeln!(text, "{name} ({})", bytes.len()).expect("in memory");
    }
    text
}

/// What Python says, when there is one.
pub fn python(code: &str, args: &[&str]) -> Option<String> {
    let output = Command::new("python3").arg("-B").arg("-c").arg(code).args(args).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).expect("UTF-8"))
        }
        Err(e) => {
            crate::support::skipped(&format!("no `python3`: {e}"));
            None
        }
    }
}
