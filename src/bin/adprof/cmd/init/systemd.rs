//! `adprof init systemd`: a service that runs a night, and the timer that starts it.

use super::{File, Settings, nightly};

pub fn files(settings: &Settings) -> Vec<File> {
    let command: Vec<String> = settings.command().iter().map(|word| word_of(word)).collect();
    let service = format!(
        "# {wants}systemctl enable --now adprof-nightly.timer\n\
         [Unit]\n\
         Description=adprof: the values of yesterday ({zone}), computed, checked and published\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         Environment={adprof}\n\
         # A password of Redis: REDIS_URL=redis://:PASSWORD@HOST:PORT in a file that only its owner can read.\n\
         EnvironmentFile=-/etc/adprof/nightly.env\n\
         ExecStart=/usr/bin/env bash {command}\n\
         Nice=10\n",
        wants = "cp adprof-nightly.* /etc/systemd/system/; ",
        zone = settings.tz.replace('%', "%%"),
        adprof = variable(&format!("ADPROF={}", settings.adprof)),
        command = command.join(" "),
    );
    let timer = "[Unit]\n\
         Description=adprof, every night\n\
         \n\
         [Timer]\n\
         # After midnight UTC, when the last day of the log ends, whatever the zone of the days is.\n\
         OnCalendar=*-*-* 00:25:00 UTC\n\
         # A machine that was off runs it when it is back; what was missed is caught up.\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n";
    vec![
        File { name: "adprof-nightly.service", text: service, mode: 0o666 },
        File { name: "adprof-nightly.timer", text: timer.into(), mode: 0o666 },
        nightly::script(),
    ]
}

/// A word of a command: `$` stands for a variable there.
fn word_of(word: &str) -> String {
    variable(&word.replace('$', "$$"))
}

/// A word of a unit: `%` stands for something everywhere.
fn variable(word: &str) -> String {
    let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@".contains(c);
    if word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

#[cfg(test)]
mod tests {
    use super::word_of;

    #[test]
    fn nothing_in_a_word_stands_for_something_else() {
        assert_eq!(word_of("/a/b"), "/a/b");
        assert_eq!(word_of("/a b/5%$x\"\\"), r#""/a b/5%%$$x\"\\""#);
    }
}
