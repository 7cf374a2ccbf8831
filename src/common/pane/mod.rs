//! Panes: the slices of event time from which every window is made.
//!
//! A pane is half-open and numbered in the order of time; every instant lies in exactly one, and a window is a whole
//! number of them. Those of a sliding window have one width and begin at the epoch; those of a calendar window are
//! the days, weeks or months of a time zone.

mod calendar;
#[cfg(test)]
mod tests;
mod zone;

use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, show_span};
pub use calendar::{Calendar, Unit};
use std::fmt;
pub use zone::{UnknownZone, Zone};

/// How far back a value looks: the instants at which an event counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Window {
    Sliding(Sliding),
    Calendar(Calendar),
}

/// The last `span` of event time, in steps of `resolution`, which divides it.
///
/// An event at `ts` is counted at every instant t with ts ≤ t < floor(ts, resolution) + span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sliding {
    pub span: Millis,
    pub resolution: Millis,
}

impl Window {
    /// The last `span` in steps of `resolution`, which divides it.
    pub fn sliding(span: Millis, resolution: Millis) -> Window {
        Window::Sliding(Sliding { span, resolution })
    }

    /// The `number` days, weeks or months of `zone` that end with the current one; `number` is at least 1.
    pub fn calendar(unit: Unit, number: i64, zone: Zone) -> Window {
        Window::Calendar(Calendar { unit, number, zone })
    }

    /// The pane an instant falls into. It never goes back as time goes on.
    pub fn pane(&self, ts: Millis) -> i64 {
        match self {
            Window::Sliding(sliding) => ts.div_euclid(sliding.resolution),
            Window::Calendar(calendar) => calendar.pane(ts),
        }
    }

    /// The first instant of a pane: `pane(ts) >= pane` and `ts >= start(pane)` are the same.
    pub fn start(&self, pane: i64) -> Millis {
        match self {
            Window::Sliding(sliding) => pane.saturating_mul(sliding.resolution),
            Window::Calendar(calendar) => calendar.start(pane),
        }
    }

    /// How many panes it is made of.
    pub fn panes(&self) -> i64 {
        match self {
            Window::Sliding(sliding) => sliding.span / sliding.resolution,
            Window::Calendar(calendar) => calendar.number,
        }
    }

    /// The first instant at which a pane no longer counts.
    pub fn expiry(&self, pane: i64) -> Millis {
        match self {
            // Without the division that the number of panes takes: this is asked for every event.
            Window::Sliding(sliding) => pane.saturating_mul(sliding.resolution).saturating_add(sliding.span),
            Window::Calendar(calendar) => calendar.start(pane.saturating_add(calendar.number)),
        }
    }

    /// The first instant whose events still count at `as_of`.
    pub fn since(&self, as_of: Millis) -> Millis {
        self.start(self.oldest(as_of))
    }

    /// The oldest pane that still counts at `as_of`.
    pub fn oldest(&self, as_of: Millis) -> i64 {
        self.pane(as_of).saturating_sub(self.panes() - 1)
    }
}

/// As a definition file has it, without resolution and zone: `1h`, `day`, `3 months`.
/// As it is written in a definition file; `{:#}` says too in what steps a span moves.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Window::Sliding(Sliding { span, resolution }) if f.alternate() => {
                write!(f, "{} in steps of {}", show_span(*span), show_span(*resolution))
            }
            Window::Sliding(sliding) => f.write_str(&show_span(sliding.span)),
            Window::Calendar(calendar) => calendar.fmt(f),
        }
    }
}

/// The resolution of a window that names none: 1 s for windows up to 1 h, 1 min up to 1 d, 1 h up to 31 d, else 1 d.
pub fn usual_resolution(span: Millis) -> Millis {
    match span {
        ..=HOUR => SECOND,
        _ if span <= DAY => MINUTE,
        _ if span <= 31 * DAY => HOUR,
        _ => DAY,
    }
}
