//! Panes: the fixed slices of event time from which every window is made.
//!
//! A pane is half-open, `[start, start + resolution)`, aligned to the epoch. An event
//! belongs to exactly one pane, and a window is a whole number of panes.

use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, show_span};
use std::fmt;

/// A sliding window: the last `span` of event time, in steps of `resolution`, which divides it.
///
/// An event at `ts` is counted at every instant t with ts ≤ t < floor(ts, resolution) + span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    pub span: Millis,
    pub resolution: Millis,
}

impl Window {
    /// The pane an event falls into.
    pub fn pane(&self, ts: Millis) -> i64 {
        ts.div_euclid(self.resolution)
    }

    /// The first instant of a pane.
    pub fn start(&self, pane: i64) -> Millis {
        pane.saturating_mul(self.resolution)
    }

    /// The first instant at which a pane no longer counts.
    pub fn expiry(&self, pane: i64) -> Millis {
        pane.saturating_mul(self.resolution).saturating_add(self.span)
    }

    /// The first instant whose events still count at `as_of`.
    pub fn since(&self, as_of: Millis) -> Millis {
        self.start(self.oldest(as_of))
    }

    /// The oldest pane that still counts at `as_of`.
    pub fn oldest(&self, as_of: Millis) -> i64 {
        self.pane(as_of) - self.span / self.resolution + 1
    }
}

/// For people: `1h in steps of 1s`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in steps of {}", show_span(self.span), show_span(self.resolution))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_event_counts_from_its_instant_until_its_pane_plus_the_span(
            ts in 0i64..10_000_000, ahead in 0i64..10_000_000, panes in 1i64..100, resolution in 1i64..100_000,
        ) {
            let window = Window { span: panes * resolution, resolution };
            let t = ts + ahead;
            let law = t < ts - ts % resolution + window.span;
            prop_assert_eq!(window.pane(ts) >= window.oldest(t), law);
            prop_assert_eq!(t < window.expiry(window.pane(ts)), law);
            prop_assert_eq!(ts >= window.since(t), law);
            let pane = window.pane(ts);
            prop_assert!((window.start(pane)..window.start(pane + 1)).contains(&ts));
        }
    }

    #[test]
    fn the_usual_resolution_follows_the_span() {
        for (span, resolution) in [
            (SECOND, SECOND),
            (HOUR, SECOND),
            (HOUR + 1, MINUTE),
            (DAY, MINUTE),
            (7 * DAY, HOUR),
            (31 * DAY, HOUR),
            (90 * DAY, DAY),
        ] {
            assert_eq!(usual_resolution(span), resolution, "{span}");
        }
    }
}
