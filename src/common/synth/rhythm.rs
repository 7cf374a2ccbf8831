//! The rhythm of a day: how many events fall into which hour, UTC.
//!
//! Whole numbers only: the instant for a share of the events is exact on every machine.

use crate::time::{DAY, HOUR, Millis};

/// Relative traffic of the 24 hours: a low at four in the morning, a peak at nine in the evening.
pub const HOURS: [i64; 24] =
    [28, 18, 12, 9, 8, 10, 16, 26, 36, 42, 45, 47, 52, 50, 46, 45, 47, 52, 62, 76, 88, 92, 76, 48];

/// Spreads shares of the events over `[start, end)`.
#[derive(Clone, Debug)]
pub struct Rhythm {
    from: i128,
    weight: i128,
}

impl Rhythm {
    pub fn new(start: Millis, end: Millis) -> Rhythm {
        let from = weight_until(start);
        Rhythm { from, weight: weight_until(end) - from }
    }

    /// The instant before which `part / whole` of the events lie.
    pub fn instant(&self, part: u64, whole: u64) -> Millis {
        let target = self.from + self.weight * i128::from(part) / i128::from(whole.max(1));
        let (day, mut rest) = (target.div_euclid(day_weight()), target.rem_euclid(day_weight()));
        let mut hour = 0;
        while rest >= i128::from(HOURS[hour] * HOUR) {
            rest -= i128::from(HOURS[hour] * HOUR);
            hour += 1;
        }
        day as i64 * DAY + hour as i64 * HOUR + rest as i64 / HOURS[hour]
    }
}

fn day_weight() -> i128 {
    i128::from(HOURS.iter().sum::<i64>() * HOUR)
}

/// The weight of all time from 1970 until `instant`.
fn weight_until(instant: Millis) -> i128 {
    let (day, in_day) = (instant.div_euclid(DAY), instant.rem_euclid(DAY));
    let (hour, in_hour) = ((in_day / HOUR) as usize, in_day % HOUR);
    i128::from(day) * day_weight() + i128::from(HOURS[..hour].iter().sum::<i64>() * HOUR + HOURS[hour] * in_hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_run_from_the_start_to_the_end_without_a_step_back() {
        let (start, end) = (1_735_689_600_000 + 5 * HOUR + 123, 1_735_689_600_000 + 3 * DAY + 7 * HOUR);
        let rhythm = Rhythm::new(start, end);
        let instants: Vec<Millis> = (0..=1000).map(|part| rhythm.instant(part, 1000)).collect();
        assert!(instants.is_sorted());
        assert_eq!((instants[0], instants[1000]), (start, end));
    }
}
