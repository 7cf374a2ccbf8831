//! `adprof init cron`: a line for a crontab.

use super::{File, Settings, nightly};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

pub fn files(settings: &Settings) -> Vec<File> {
    let (hour, minute) = time(&TimeZone::system(), crate::given::now());
    let command: Vec<String> = settings.command().iter().map(|word| word_of(word)).collect();
    let line = format!(
        "# adprof, every night: yesterday ({zone}) computed, checked, published. It prints only what went wrong, so MAILTO\n\
         # gets only that; OUT/nightly.log has a line a run. The time is after midnight UTC, when the last day of the log ends.\n\
         {minute} {hour} * * * ADPROF={adprof} {command}\n",
        zone = settings.tz,
        adprof = word_of(&settings.adprof),
        command = command.join(" "),
    );
    vec![File { name: "adprof.cron", text: line, mode: 0o666 }, nightly::script()]
}

/// The local time of a machine that is never before 00:25 UTC, nor a clock change away from it: cron knows no zones.
fn time(zone: &TimeZone, now: i64) -> (i8, i8) {
    let start = Timestamp::from_millisecond(now).unwrap_or_default().to_zoned(TimeZone::UTC).date();
    let at = |date: Date| {
        let utc = date.at(0, 25, 0, 0).to_zoned(TimeZone::UTC).ok()?;
        let offset = zone.to_offset(utc.timestamp());
        Some((offset.seconds(), utc.with_time_zone(zone.clone())))
    };
    let days = (0..366).filter_map(|n| start.checked_add(n.days()).ok());
    // The largest offset of the year: in the other half it is an hour later than need be.
    let latest = days.filter_map(at).max_by_key(|(offset, _)| *offset);
    latest.map_or((0, 25), |(_, local)| (local.hour(), local.minute()))
}

/// A word of the shell; in a crontab `%` ends the line unless a `\` stands before it, in quotes too.
fn word_of(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    // Outside the quotes, where the `\` that cron takes away, or leaves, means the same.
    format!("'{}'", word.replace('\'', r"'\''").replace('%', r"'\%'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_after_midnight_utc_all_year() {
        for (zone, want) in [
            ("UTC", (0, 25)),
            ("Europe/Berlin", (2, 25)),
            ("America/New_York", (20, 25)),
            ("Asia/Kolkata", (5, 55)),
            ("Asia/Tokyo", (9, 25)),
        ] {
            assert_eq!(time(&TimeZone::get(zone).expect(zone), 1_795_000_000_000), want, "{zone}");
        }
    }

    #[test]
    fn words_with_blanks_quotes_and_percents_stay_one_word() {
        for (word, want) in [("/opt/a-b.sh", "/opt/a-b.sh"), ("a b", "'a b'"), ("a'b", r"'a'\''b'"), ("5%", r"'5'\%''")]
        {
            assert_eq!(word_of(word), want);
        }
    }
}
