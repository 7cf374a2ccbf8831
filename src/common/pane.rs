//! Panes: the fixed slices of event time from which every window is made.
//!
//! A pane is half-open, `[start, start + resolution)`, aligned to the epoch. An event
//! belongs to exactly one pane, and a window is a whole number of panes.

use crate::limits::PANES_MAX;
use crate::time::{DAY, HOUR, MINUTE, Millis, SECOND, show_span};

/// A sliding window: the last `span` of event time, in steps of `resolution`.
///
/// An event at `ts` is counted at every instant t with ts ≤ t < floor(ts, resolution) + span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    pub span: Millis,
    pub resolution: Millis,
}

impl Window {
    /// A window with the resolution given, or the usual one for its span.
    ///
    /// Errors when the resolution does not divide the span or makes more than `PANES_MAX` panes.
    pub fn new(span: Millis, resolution: Option<Millis>) -> Result<Window, String> {
        let resolution = resolution.unwrap_or_else(|| usual_resolution(span));
        if span <= 0 || resolution <= 0 || span % resolution != 0 {
            return Err(format!(
                "the resolution {} does not divide the window {}",
                show_span(resolution),
                show_span(span)
            ));
        }
        if span / resolution > PANES_MAX {
            return Err(format!(
                "the window {} has {} panes of {}; at most {PANES_MAX} are kept: choose a coarser `resolution`",
                show_span(span),
                span / resolution,
                show_span(resolution)
            ));
        }
        Ok(Window { span, resolution })
    }

    /// The pane an event falls into.
    pub fn pane(&self, ts: Millis) -> i64 {
        ts.div_euclid(self.resolution)
    }

    /// The first instant at which a pane no longer counts.
    pub fn expiry(&self, pane: i64) -> Millis {
        pane.saturating_mul(self.resolution).saturating_add(self.span)
    }

    /// The oldest pane that still counts at `as_of`.
    pub fn oldest(&self, as_of: Millis) -> i64 {
        self.pane(as_of) - self.span / self.resolution + 1
    }
}

/// 1 s for windows up to 1 h, 1 min up to 1 d, 1 h up to 31 d, else 1 d; the span itself where that does not divide it.
fn usual_resolution(span: Millis) -> Millis {
    let usual = match span {
        span if span <= HOUR => SECOND,
        span if span <= DAY => MINUTE,
        span if span <= 31 * DAY => HOUR,
        _ => DAY,
    };
    // A window of 1500 ms still has to be a whole number of panes.
    [usual, HOUR, MINUTE, SECOND, 1].into_iter().find(|r| *r <= usual && span % r == 0).unwrap_or(span)
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
            let window = Window::new(panes * resolution, Some(resolution)).expect("it divides");
            let t = ts + ahead;
            let law = t < ts - ts % resolution + window.span;
            prop_assert_eq!(window.pane(ts) >= window.oldest(t), law);
            prop_assert_eq!(t < window.expiry(window.pane(ts)), law);
        }
    }

    #[test]
    fn the_usual_resolution_follows_the_span() {
        for (span, resolution) in [
            (HOUR, SECOND),
            (DAY, MINUTE),
            (7 * DAY, HOUR),
            (31 * DAY, HOUR),
            (90 * DAY, DAY),
            (1500, 1),
            (25 * HOUR, HOUR),
            (DAY + SECOND, SECOND),
        ] {
            match Window::new(span, None) {
                Ok(window) => assert_eq!(window.resolution, resolution, "{span}"),
                Err(why) => assert!(why.contains("choose a coarser"), "{why}"),
            }
        }
        assert!(Window::new(HOUR, Some(7 * MINUTE)).is_err());
    }
}
