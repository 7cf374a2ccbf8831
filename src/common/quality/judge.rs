//! Judging: an output against its thresholds and against the last days.
//!
//! A figure that has nothing to be compared with passes: so does a first day, and a tag whose definition changed.

use super::column::{TagFigures, decimal};
use super::days::Day;
use crate::money::{Decimal, SCALE, div_round};
use crate::tag::{Definitions, Share, Tag};
use serde::Serialize;
use std::fmt;

/// A figure that is not as it must be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// None: of the output as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub figure: &'static str,
    pub value: String,
    /// What it must be, in words.
    pub limit: String,
    /// The key of the definition file that says so; none where it always holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<&'static str>,
    /// The figure of the last day before.
    pub yesterday: Option<String>,
}

/// ``tag `ltv_total`: nulls 62%: at most 5% (nulls_max); yesterday 4.8%``.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.tag {
            write!(f, "tag `{tag}`: ")?;
        }
        write!(f, "{} {}: {}", self.figure, self.value, self.limit)?;
        if let Some(key) = self.threshold {
            write!(f, " ({key})")?;
        }
        match &self.yesterday {
            Some(yesterday) => write!(f, "; yesterday {yesterday}"),
            None => f.write_str("; no day before"),
        }
    }
}

/// What came of all checks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// How many figures were looked at.
    pub checks: usize,
    pub findings: Vec<Finding>,
}

/// Judges `day` against the thresholds of `definitions` and the days before it, the oldest first.
pub fn judge(day: &Day, past: &[Day], definitions: &Definitions) -> Verdict {
    let mut judge = Judge { day, past, definitions, verdict: Verdict::default() };
    judge.rows();
    judge.events();
    for (code, figures) in &day.tags {
        judge.tag(code, figures);
    }
    judge.lost_tags();
    judge.verdict
}

struct Judge<'a> {
    day: &'a Day,
    past: &'a [Day],
    definitions: &'a Definitions,
    verdict: Verdict,
}

impl Judge<'_> {
    fn check(&mut self, fails: bool, finding: impl FnOnce() -> Finding) {
        self.verdict.checks += 1;
        if fails {
            self.verdict.findings.push(finding());
        }
    }

    fn rows(&mut self) {
        let Some(usual) = median(self.past.iter().map(|day| whole(day.rows))) else { return };
        let quality = &self.definitions.quality;
        let (rows, yesterday) = (whole(self.day.rows), self.past.last().map(|day| day.rows.to_string()));
        let days = days(self.past.len());
        let finding = |limit: String, key| Finding {
            tag: None,
            figure: "rows",
            value: rows.to_string(),
            limit,
            threshold: Some(key),
            yesterday: yesterday.clone(),
        };
        let (fall, rise) = (quality.rows_fall_max, quality.rows_rise_max);
        self.check(rows < usual && beyond(rows, usual, fall), || {
            finding(format!("at most {fall} below {usual}, the median of {days}"), "rows_fall_max")
        });
        if let Some(rise) = rise {
            self.check(rows > usual && beyond(rows, usual, rise), || {
                finding(format!("at most {rise} above {usual}, the median of {days}"), "rows_rise_max")
            });
        }
    }

    /// Duplicates and dead letters of the run.
    fn events(&mut self) {
        let Some(events) = &self.day.events else { return };
        let quality = &self.definitions.quality;
        let good = |e: &super::Events| e.counted + e.duplicates + e.outside;
        let before = self.past.last().and_then(|day| day.events.as_ref());
        for (figure, part, of, limit, key, yesterday) in [
            (
                "duplicates",
                events.duplicates,
                good(events),
                quality.duplicates_max,
                "duplicates_max",
                before.map(|e| percent(e.duplicates, good(e))),
            ),
            (
                "refused lines",
                events.refused_total(),
                events.lines,
                quality.refused_max,
                "refused_max",
                before.map(|e| percent(e.refused_total(), e.lines)),
            ),
        ] {
            self.check(over(part, of, limit), || Finding {
                tag: None,
                figure,
                value: percent(part, of),
                limit: format!("at most {limit}"),
                threshold: Some(key),
                yesterday,
            });
        }
    }

    fn tag(&mut self, code: &str, figures: &TagFigures) {
        let tag = self.definitions.index(code).map(|at| &self.definitions.tags[at]);
        let judged = Judged { code, figures, yesterday: self.past.last().and_then(|day| day.tags.get(code)) };
        self.check(figures.wrong > 0, || {
            let value = format!("in {} of {}", figures.wrong, rows(figures.rows));
            judged.finding("another type", value, format!("every value is {}", figures.ty), None, |f| {
                Some(format!("in {}", f.wrong))
            })
        });
        if let Some(tag) = tag {
            self.thresholds(&judged, tag);
        }
        let change = tag.and_then(|tag| tag.quality.change_max).or(self.definitions.quality.change_max);
        self.changes(&judged, change);
    }

    fn thresholds(&mut self, judged: &Judged<'_>, tag: &Tag) {
        let (figures, quality) = (judged.figures, &tag.quality);
        if let Some(limit) = quality.nulls_max {
            self.check(over(figures.nulls, figures.rows, limit), || {
                let of = |f: &TagFigures| Some(percent(f.nulls, f.rows));
                judged.finding(
                    "nulls",
                    of(figures).unwrap_or_default(),
                    format!("at most {limit}"),
                    Some("nulls_max"),
                    of,
                )
            });
        }
        let number = |n: &Option<super::column::Number>| n.as_ref().map(|n| n.0.to_string());
        if let (Some(limit), Some(value)) = (quality.min, &figures.min) {
            self.check(decimal(&value.0).map_or(negative(&value.0), |value| value < limit), || {
                let of = |f: &TagFigures| number(&f.min);
                judged.finding("min", of(figures).unwrap_or_default(), format!("at least {limit}"), Some("min"), of)
            });
        }
        if let (Some(limit), Some(value)) = (quality.max, &figures.max) {
            self.check(decimal(&value.0).map_or(!negative(&value.0), |value| value > limit), || {
                let of = |f: &TagFigures| number(&f.max);
                judged.finding("max", of(figures).unwrap_or_default(), format!("at most {limit}"), Some("max"), of)
            });
        }
        let distinct = |f: &TagFigures| Some(format!("{}{}", if f.exact { "" } else { "about " }, f.distinct));
        let shown = distinct(figures).unwrap_or_default();
        if let Some(limit) = quality.distinct_min {
            self.check(figures.distinct < limit, || {
                judged.finding(
                    "distinct values",
                    shown.clone(),
                    format!("at least {limit}"),
                    Some("distinct_min"),
                    distinct,
                )
            });
        }
        if let Some(limit) = quality.distinct_max {
            self.check(figures.distinct > limit, || {
                judged.finding(
                    "distinct values",
                    shown.clone(),
                    format!("at most {limit}"),
                    Some("distinct_max"),
                    distinct,
                )
            });
        }
    }

    /// Against the median of the last days, as far as the tag meant the same then.
    fn changes(&mut self, judged: &Judged<'_>, limit: Option<Share>) {
        let figures = judged.figures;
        let same = |f: &&TagFigures| {
            f.fingerprint.is_none() || figures.fingerprint.is_none() || f.fingerprint == figures.fingerprint
        };
        let past: Vec<&TagFigures> =
            self.past.iter().filter_map(|day| day.tags.get(judged.code)).filter(same).collect();
        let Some(values) = median(past.iter().map(|f| whole(f.values()))) else { return };
        let days = days(past.len());
        self.check(figures.values() == 0 && values.0 > 0 && self.day.rows > 0, || {
            let limit = format!("{values} is the median of {days}");
            judged.finding("values", "0".into(), limit, None, |f| Some(f.values().to_string()))
        });
        let Some(limit) = limit else { return };
        let words = |usual: Decimal| format!("at most {limit} from {usual}, the median of {days}");
        // None left was told just now.
        if figures.values() > 0 {
            self.check(beyond(whole(figures.values()), values, limit), || {
                let value = figures.values().to_string();
                judged.finding("values", value, words(values), Some("change_max"), |f| Some(f.values().to_string()))
            });
        }
        let usual = median(past.iter().filter_map(|f| f.sum.map(|sum| sum.0)));
        if let (Some(usual), Some(sum)) = (usual, figures.sum) {
            self.check(beyond(sum.0, usual, limit), || {
                let value = sum.0.to_string();
                judged.finding("sum", value, words(usual), Some("change_max"), |f| f.sum.map(|sum| sum.0.to_string()))
            });
        }
    }

    /// Tags of yesterday that no row names any longer, though they are still defined.
    fn lost_tags(&mut self) {
        let Some(yesterday) = self.past.last() else { return };
        for (code, before) in &yesterday.tags {
            if before.values() == 0 || self.day.rows == 0 || self.definitions.index(code).is_none() {
                continue;
            }
            self.check(!self.day.tags.contains_key(code), || Finding {
                tag: Some(code.clone()),
                figure: "values",
                value: "0".into(),
                limit: "no row names the tag".into(),
                threshold: None,
                yesterday: Some(before.values().to_string()),
            });
        }
    }
}

/// A tag under judgement.
struct Judged<'a> {
    code: &'a str,
    figures: &'a TagFigures,
    yesterday: Option<&'a TagFigures>,
}

impl Judged<'_> {
    fn finding(
        &self,
        figure: &'static str,
        value: String,
        limit: String,
        threshold: Option<&'static str>,
        of: impl Fn(&TagFigures) -> Option<String>,
    ) -> Finding {
        let yesterday = self.yesterday.and_then(of);
        Finding { tag: Some(self.code.to_string()), figure, value, limit, threshold, yesterday }
    }
}

fn whole(n: u64) -> Decimal {
    Decimal(i128::from(n) * SCALE)
}

fn rows(n: u64) -> String {
    if n == 1 { "1 row".into() } else { format!("{n} rows") }
}

fn days(n: usize) -> String {
    if n == 1 { "1 day".into() } else { format!("{n} days") }
}

fn negative(value: &crate::value::Value) -> bool {
    matches!(value, crate::value::Value::Double(x) if *x < 0.0)
}

/// The middle one; of an even number, half-way between the two in the middle.
fn median(of: impl Iterator<Item = Decimal>) -> Option<Decimal> {
    let mut all: Vec<Decimal> = of.collect();
    all.sort_unstable();
    let high = *all.get(all.len() / 2)?;
    let low = all[(all.len() - 1) / 2];
    // Half of each: a sum of two could be too large.
    Some(Decimal(low.0 / 2 + high.0 / 2 + (low.0 % 2 + high.0 % 2) / 2))
}

/// Whether `value` is further from `usual` than the share of it. From nothing every distance is endless: none is meant.
fn beyond(value: Decimal, usual: Decimal, limit: Share) -> bool {
    if usual.0 == 0 {
        return false;
    }
    let distance = value.0.abs_diff(usual.0);
    // Past 128 bits it is further than any share that is meant.
    let (left, right) =
        (distance.checked_mul(100 * SCALE as u128), usual.0.unsigned_abs().checked_mul(limit.0.0 as u128));
    match (left, right) {
        (Some(left), Some(right)) => left > right,
        _ => distance as f64 * 100.0 * SCALE as f64 > usual.0 as f64 * limit.0.0 as f64,
    }
}

/// Whether `part` of `of` is more than the share; nothing of nothing is not.
fn over(part: u64, of: u64, limit: Share) -> bool {
    i128::from(part) * 100 * SCALE > i128::from(of) * limit.0.0
}

/// `62.35%`: two places, more where two say nothing.
fn percent(part: u64, of: u64) -> String {
    if of == 0 {
        return "0%".into();
    }
    let exact =
        |places: i128| div_round(i128::from(part) * 100 * places, i128::from(of)).unwrap_or(0) * (SCALE / places);
    let short = exact(100);
    let shown =
        if (short == 0) == (part == 0) && (short == 100 * SCALE) == (part == of) { short } else { exact(SCALE) };
    format!("{}%", Decimal(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_shares_and_distances_are_exact() {
        let of = |numbers: &[u64]| median(numbers.iter().map(|n| whole(*n))).map(|m| m.to_string());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7, 1, 3]).as_deref(), Some("3"));
        assert_eq!(of(&[4, 1, 3, 2]).as_deref(), Some("2.5"));
        let five = Share::parse("5%").expect("a share");
        assert!(!over(5, 100, five) && over(6, 100, five) && !over(0, 0, five));
        assert!(over(50_001, 1_000_000, five) && !over(50_000, 1_000_000, five));
        assert!(!beyond(whole(105), whole(100), five) && beyond(whole(106), whole(100), five));
        assert!(!beyond(whole(95), whole(100), five) && beyond(whole(94), whole(100), five));
        assert!(!beyond(whole(9), Decimal::ZERO, five));
        assert!(beyond(Decimal(i128::MAX), whole(1), five));
        assert_eq!(
            (percent(1, 3), percent(0, 3), percent(1, 1_000_000)),
            ("33.33%".into(), "0%".into(), "0.0001%".into())
        );
        assert_eq!(percent(999_999, 1_000_000), "99.9999%");
    }
}
