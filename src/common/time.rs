//! Time: instants and spans in whole milliseconds, and how people write them.
//!
//! Nothing here reads a clock: an instant relative to now takes `now` as an argument.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// A day in UTC: whole days since 1970-01-01.
pub type Day = i32;

pub const SECOND: Millis = 1000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
pub const DAY: Millis = 24 * HOUR;

const UNITS: [(&str, Millis); 6] = [("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR), ("d", DAY), ("w", 7 * DAY)];

/// Reads a span such as `90s`, `1h`, `30d`, `1h30m`; the error says what is wrong.
pub fn parse_span(text: &str) -> Result<Millis, String> {
    let mut rest = text;
    let mut total: Millis = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let per = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, per)| *per);
        let (Ok(number), Some(per)) = (number.parse::<i64>(), per) else {
            return Err(format!("not a span: {text:?} (write 90s, 15m, 1h, 7d; units ms s m h d w)"));
        };
        total = number
            .checked_mul(per)
            .and_then(|n| total.checked_add(n))
            .ok_or_else(|| format!("span too long: {text:?}"))?;
        rest = &rest[digits + letters..];
    }
    if total <= 0 { Err(format!("a span must be longer than nothing: {text:?}")) } else { Ok(total) }
}

/// The day an instant lies in, in UTC.
pub fn utc_day(at: Millis) -> Day {
    // 32 bits last for millions of years; what lies beyond is its end.
    at.div_euclid(DAY).clamp(Day::MIN.into(), Day::MAX.into()) as Day
}

/// The first instant of a day.
pub fn day_start(day: Day) -> Millis {
    Millis::from(day) * DAY
}

/// `2026-11-20`.
pub fn show_day(day: Day) -> String {
    match Timestamp::from_millisecond(day_start(day)) {
        Ok(t) => t.strftime("%Y-%m-%d").to_string(),
        Err(_) => format!("day {day}"),
    }
}

/// Writes a span in its largest whole unit up to days: `1h`, `90s`, `36h`, `400ms`.
pub fn show_span(span: Millis) -> String {
    for (unit, per) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)] {
        if span != 0 && span % per == 0 {
            return format!("{}{unit}", span / per);
        }
    }
    format!("{span}ms")
}

/// Reads an instant: milliseconds since the epoch (12 digits or more), RFC 3339, a date or a date with time in `zone`,
/// `now`, or a span before now (`2h`).
pub fn parse_instant(text: &str, now: Millis, zone: &TimeZone) -> Result<Millis, String> {
    if text == "now" {
        return Ok(now);
    }
    if text.len() >= 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| format!("not an instant: {text:?}"));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    if let Ok(civil) = text.parse::<jiff::civil::DateTime>() {
        return zone
            .to_timestamp(civil)
            .map(|t| t.as_millisecond())
            .map_err(|e| format!("not an instant: {text:?}: {e}"));
    }
    match parse_span(text) {
        Ok(span) => Ok(now - span),
        Err(_) => Err(format!(
            "not an instant: {text:?} (write 2026-11-20, 2026-11-20T10:00:00Z, milliseconds since 1970, now, or 2h for two hours ago)"
        )),
    }
}

/// `2026-11-20T10:00:00.000Z`.
pub fn show(instant: Millis) -> String {
    match Timestamp::from_millisecond(instant) {
        Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{instant}ms"),
    }
}

/// The civil day an instant falls on in `zone`.
pub fn day_of(instant: Millis, zone: &TimeZone) -> Option<Date> {
    Timestamp::from_millisecond(instant).ok().map(|t| zone.to_datetime(t).date())
}

/// The instants at which `day` begins and ends in `zone`: 23, 24 or 25 hours apart.
pub fn day_bounds(day: Date, zone: &TimeZone) -> Result<(Millis, Millis), String> {
    let start = |d: Date| d.to_zoned(zone.clone()).map(|z| z.timestamp().as_millisecond()).map_err(|e| e.to_string());
    let next = day.tomorrow().map_err(|e| e.to_string())?;
    Ok((start(day)?, start(next)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print() {
        for (text, ms) in
            [("1h", HOUR), ("90s", 90_000), ("1h30m", 90 * MINUTE), ("7d", 7 * DAY), ("250ms", 250), ("2w", 14 * DAY)]
        {
            assert_eq!(parse_span(text), Ok(ms));
        }
        for text in ["", "0s", "h", "1", "1x", "-1h", "1.5h", "99999999999999999999d", "9999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        assert_eq!(show_span(36 * HOUR), "36h");
        assert_eq!(show_span(1500), "1500ms");
    }

    #[test]
    fn instants_read_in_every_form() {
        let utc = TimeZone::UTC;
        let now = 1_731_296_325_000;
        for (text, want) in [
            ("1731296325000", now),
            ("2024-11-11T03:38:45Z", now),
            ("2024-11-11T03:38:45", now),
            ("2024-11-11", 1_731_283_200_000),
            ("now", now),
            ("2h", now - 2 * HOUR),
        ] {
            assert_eq!(parse_instant(text, now, &utc), Ok(want), "{text}");
        }
        assert!(parse_instant("yesterday-ish", now, &utc).is_err());
        assert_eq!(show(now), "2024-11-11T03:38:45.000Z");
    }

    #[test]
    fn a_day_of_a_clock_change_has_23_or_25_hours() {
        let zone = TimeZone::get("Europe/Berlin").expect("a known zone");
        for (day, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-20", 24)] {
            let (start, end) = day_bounds(day.parse().expect("a date"), &zone).expect("in range");
            assert_eq!(end - start, hours * HOUR, "{day}");
        }
    }
}
