//! Windows: `window`, `resolution` and `tz` of an aggregation, as one window.
//!
//! `1d` is a span, the last 24 hours; `day` is of the calendar. A letter makes a span, a word the calendar, and there
//! is one way to write each.

use super::read::{Read, Reader, Text};
use crate::expr::nearest;
use crate::limits::PANES_MAX;
use crate::pane::{Unit, Window, Zone, usual_resolution};
use crate::time::{DAY, Millis, parse_span, show_span};

/// The zone of a calendar window that names none.
const UTC: &str = "UTC";

const HOW: &str = "a span such as 90s, 15m, 1h or 7d slides; \"day\", \"week\", \"month\", \"7 days\" or \"3 months\" \
                   go by the calendar of `tz`";

/// The window of a tag, if it has one. What is wrong with it is reported.
pub(super) fn read(reader: &mut Reader, read: &Read) -> Result<Option<Window>, ()> {
    let (window, resolution, tz) = (read.text("window"), read.text("resolution"), read.text("tz"));
    let Some(window) = window else {
        for (key, text) in [("resolution", resolution), ("tz", tz)] {
            if let Some(text) = text {
                reader.report(text.at.clone(), format!("`{key}` without `window`"));
            }
        }
        return if resolution.or(tz).is_some() { Err(()) } else { Ok(None) };
    };
    let made = match calendar(&window.value) {
        Some((unit, number)) => in_zone(reader, window, unit, number, resolution, tz),
        None => sliding(reader, window, resolution, tz),
    };
    made.map(Some)
}

/// A window that is nothing but its text: in steps of the usual resolution, or by the calendar of UTC. The error is
/// message and hint.
pub(super) fn plain(text: &str) -> Result<Window, (String, String)> {
    if let Some((unit, number)) = calendar(text) {
        let zone = Zone::get(UTC).expect("every database of time zones has UTC");
        return if number > PANES_MAX {
            Err((
                format!("a window of more than {PANES_MAX} {}s", unit.name()),
                "leave OVER out for the whole life".into(),
            ))
        } else {
            Ok(Window::calendar(unit, number, zone))
        };
    }
    let span = parse_span(text).map_err(|_| {
        let hint = meant(text)
            .map_or("write a span such as 15m or 7d, or day, week, month, 7 days".to_string(), |meant| {
                format!("did you mean '{meant}'?")
            });
        (format!("not a window: '{text}'"), hint)
    })?;
    let width = usual_resolution(span);
    let hint = || "a window of a tag in the definition file can have a `resolution` of its own".to_string();
    if span % width != 0 {
        return Err((
            format!("a window of {} moves in steps of {}, which do not divide it", show_span(span), show_span(width)),
            hint(),
        ));
    }
    if span / width > PANES_MAX {
        return Err((format!("a window of {} has more than {PANES_MAX} steps", show_span(span)), hint()));
    }
    Ok(Window::sliding(span, width))
}

/// What `day`, `7 days` and the like mean; `None` for anything else.
fn calendar(text: &str) -> Option<(Unit, i64)> {
    if let Some(unit) = Unit::ALL.into_iter().find(|unit| unit.name() == text) {
        return Some((unit, 1));
    }
    let (number, word) = text.split_once(' ')?;
    let unit = Unit::ALL.into_iter().find(|unit| word.strip_suffix('s') == Some(unit.name()))?;
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    // What does not fit is too many in any case.
    let number = if plain { number.parse().unwrap_or(i64::MAX) } else { return None };
    (number > 1).then_some((unit, number))
}

/// What a window in words means that is not written as it should be; `None`: it is nothing of the calendar.
fn meant(text: &str) -> Option<String> {
    let (number, word) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let word = word.trim().to_lowercase();
    // A letter or two are the unit of a span.
    let near = nearest(&word, ["day", "days", "week", "weeks", "month", "months"]).filter(|_| word.len() > 2)?;
    let unit = near.trim_end_matches('s');
    Some(match number.trim_start_matches('0') {
        "" | "1" => unit.to_string(),
        n => format!("{n} {unit}s"),
    })
}

fn in_zone(
    reader: &mut Reader,
    window: &Text,
    unit: Unit,
    number: i64,
    resolution: Option<&Text>,
    tz: Option<&Text>,
) -> Result<Window, ()> {
    let zone = match tz {
        Some(text) => zone(reader, text),
        None => Zone::get(UTC).map_err(|_| ()),
    };
    if let Some(resolution) = resolution {
        let at = reader.within(resolution, 0, resolution.value.len());
        let message = format!("a calendar window has no `resolution`: it moves {0} by {0}", unit.name());
        reader.report_hint(at, message, "leave it out; a span such as 7d slides in steps of a `resolution`");
        return Err(());
    }
    if number > PANES_MAX {
        let at = reader.within(window, 0, window.value.len());
        let hint = "take a longer unit, or no `window` for the whole life of the user";
        reader.report_hint(at, format!("a window of more than {PANES_MAX} {}s", unit.name()), hint);
        return Err(());
    }
    Ok(Window::calendar(unit, number, zone?))
}

fn zone(reader: &mut Reader, text: &Text) -> Result<Zone, ()> {
    Zone::get(&text.value).map_err(|unknown| {
        let at = reader.within(text, 0, text.value.len());
        let hint = match &unknown.nearest[..] {
            [] => "write a name such as UTC or Europe/Berlin, of the IANA time zone database".to_string(),
            names => format!("did you mean {}?", names.join(" or ")),
        };
        reader.report_hint(at, format!("unknown time zone: {}", text.value), hint);
    })
}

fn sliding(reader: &mut Reader, window: &Text, resolution: Option<&Text>, tz: Option<&Text>) -> Result<Window, ()> {
    let window_at = reader.within(window, 0, window.value.len());
    let span = match parse_span(&window.value) {
        Ok(span) => span,
        Err(message) => {
            if message.starts_with("not a span") {
                let hint = meant(&window.value).map_or(HOW.to_string(), |meant| format!("did you mean \"{meant}\"?"));
                reader.report_hint(window_at, format!("not a window: {:?}", window.value), hint);
            } else {
                reader.report(window_at, message);
            }
            return Err(());
        }
    };
    if let Some(tz) = tz {
        let at = reader.within(tz, 0, tz.value.len());
        let message = format!("`tz` belongs to a calendar window: {:?} is the same in every zone", window.value);
        let local = match span / DAY {
            ..=1 => "day".to_string(),
            days => format!("{days} days"),
        };
        reader.report_hint(at, message, format!("for local days write window = \"{local}\""));
        return Err(());
    }
    let (at, width) = match resolution {
        Some(text) => (reader.within(text, 0, text.value.len()), resolution_of(reader, text)?),
        None => (window_at, usual_resolution(span)),
    };
    let (span_text, width_text) = (show_span(span), show_span(width));
    if span % width != 0 {
        let hint = "set `resolution` to a span that goes into the window a whole number of times";
        reader.report_hint(at, format!("a resolution of {width_text} does not divide the window of {span_text}"), hint);
        return Err(());
    }
    if span / width > PANES_MAX {
        let message = format!(
            "a window of {span_text} in steps of {width_text} has {} panes, more than {PANES_MAX}",
            span / width
        );
        reader.report_hint(at, message, "make `resolution` coarser");
        return Err(());
    }
    Ok(Window::sliding(span, width))
}

fn resolution_of(reader: &mut Reader, text: &Text) -> Result<Millis, ()> {
    parse_span(&text.value).map_err(|message| {
        let at = reader.within(text, 0, text.value.len());
        reader.report(at, message);
    })
}
