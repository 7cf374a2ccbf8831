//! A bash session in an empty folder that runs the commands of one page, as a reader would type them.
//!
//! Variables, the current folder, jobs and `$?` carry over from command to command. adprof as just built stands first
//! on PATH. When the page is done its jobs are ended; a page that takes longer than `LIMIT` is ended as a whole.

use crate::support::{self, Dir};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(300);

/// What one command printed, and its exit code; none when the session ended before or in it.
#[derive(Debug)]
pub struct Printed {
    pub stdout: Vec<String>,
    pub stderr: String,
    pub code: Option<i32>,
}

/// Runs the commands one after another, with these variables besides the clean ones.
pub fn run(commands: &[&str], vars: &[(&str, String)]) -> Vec<Printed> {
    // What the commands print is kept apart from the folder in which they run: that is empty, as a reader's is.
    let (work, kept) = (Dir::new(), Dir::new());
    let bin = bin(&kept);
    for (i, command) in commands.iter().enumerate() {
        kept.write(&format!("{i}.command"), command);
    }
    let script = kept.write("session", SESSION);
    let mut bash = Command::new("bash");
    bash.arg("--noprofile").arg("--norc").arg(script).arg(kept.path()).arg(commands.len().to_string());
    bash.current_dir(work.path()).env_clear().envs(support::clean_environment()).env("HOME", work.path());
    bash.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()));
    bash.envs(vars.iter().map(|(name, value)| (name, value)));
    let log = File::create(kept.file("log")).expect("a writable file");
    bash.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log).process_group(0);
    let mut session = bash.spawn().expect("bash");
    let began = Instant::now();
    while session.try_wait().expect("a child").is_none() {
        if began.elapsed() > LIMIT {
            // The session leads its group: this ends the command that hangs, too.
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", session.id())]).status();
        }
        sleep(Duration::from_millis(5));
    }
    (0..commands.len()).map(|i| printed(&kept, i)).collect()
}

/// A folder with adprof, and with Kafka's own tool for topics as its users know it.
fn bin(kept: &Dir) -> std::path::PathBuf {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let tool = kept.write(
        "bin/kafka-topics.sh",
        "#!/bin/sh\nexec \"${JAVA_HOME:+$JAVA_HOME/bin/}java\" -XX:TieredStopAtLevel=1 -cp \"$ADPROF_TEST_KAFKA_LIBS/*\" \
         org.apache.kafka.tools.TopicCommand \"$@\" 2>/dev/null\n",
    );
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("an executable file");
    let bin = tool.parent().expect("a file has a folder").to_owned();
    symlink(support::adprof_path(), bin.join("adprof")).expect("a link");
    bin
}

fn printed(kept: &Dir, i: usize) -> Printed {
    let read = |kind: &str| read_lossy(&kept.file(&format!("{i}.{kind}")));
    Printed {
        stdout: read("out").lines().map(str::to_owned).collect(),
        stderr: read("err"),
        code: read("code").trim().parse().ok(),
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Each command is evaluated by the session itself, so that `cd`, variables and jobs stay; a syntax error ends only it.
const SESSION: &str = r#"
__kept=$1 __count=$2 __last=0
set --
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
for ((__i = 0; __i < __count; __i++)); do
    __command=$(<"$__kept/$__i.command")
    { (exit "$__last"); eval "$__command"; } >"$__kept/$__i.out" 2>"$__kept/$__i.err"
    __last=$?
    printf '%s\n' "$__last" >"$__kept/$__i.code"
done
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(commands: &[&str]) -> Vec<String> {
        run(commands, &[("GIVEN", "g".into())]).into_iter().map(|p| p.stdout.join("|")).collect()
    }

    #[test]
    fn the_session_carries_on_from_command_to_command() {
        assert_eq!(
            outputs(&[
                "ls -A",
                "mkdir d; cd d; x=1",
                "basename $PWD; echo $x$GIVEN",
                "false",
                "echo $?",
                "if",
                "echo on"
            ]),
            ["", "", "d|1g", "", "1", "", "on"]
        );
    }

    #[test]
    fn output_and_words_are_kept_apart_and_codes_are_kept() {
        let printed = run(&["echo out; echo words >&2; (exit 3)", "echo both >&2 2>&1", "exit 4", "echo never"], &[]);
        assert_eq!((printed[0].stdout.join("|"), printed[0].stderr.as_str()), ("out".into(), "words\n"));
        let codes: Vec<_> = printed.iter().map(|p| p.code).collect();
        assert_eq!(codes, [Some(3), Some(0), None, None]);
    }

    #[test]
    fn adprof_is_the_one_just_built_and_jobs_end_with_the_page() {
        let began = Instant::now();
        let out = outputs(&["adprof --version", "sleep 100 &"]);
        assert_eq!(out[0], format!("adprof {}", env!("CARGO_PKG_VERSION")));
        assert!(began.elapsed() < Duration::from_secs(50));
    }
}
