//! Quality: what an output and the values of a tag must be like to be published.
//!
//! Thresholds say nothing about what a value means, so no fingerprint shows them.

use super::build::Builder;
use super::read::Read;
use crate::money::Decimal;
use crate::value::Type;
use std::fmt;

/// A share in percent, exact to six places: `5%` is 5. It may be over 100: a rise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Share(pub Decimal);

impl Share {
    /// Reads `5%` or `0.25%`.
    pub fn parse(text: &str) -> Option<Share> {
        Decimal::parse(text.strip_suffix('%')?).ok().filter(|percent| percent.0 >= 0).map(Share)
    }

    const fn percent(n: i128) -> Share {
        Share(Decimal(n * crate::money::SCALE))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// `[quality]`: what holds for an output as a whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Quality {
    /// So many of the last days are compared with; 0: none.
    pub days: usize,
    pub rows_fall_max: Share,
    pub rows_rise_max: Option<Share>,
    pub duplicates_max: Share,
    pub refused_max: Share,
    /// For the tags that say nothing themselves.
    pub change_max: Option<Share>,
}

impl Default for Quality {
    fn default() -> Quality {
        Quality {
            days: 7,
            rows_fall_max: Share::percent(50),
            rows_rise_max: None,
            duplicates_max: Share::percent(50),
            refused_max: Share::percent(10),
            change_max: None,
        }
    }
}

/// `[tag.quality]`: what the values of one tag must be like.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct TagQuality {
    pub nulls_max: Option<Share>,
    pub min: Option<Decimal>,
    pub max: Option<Decimal>,
    pub distinct_min: Option<u64>,
    pub distinct_max: Option<u64>,
    pub change_max: Option<Share>,
}

/// More days than anyone compares with, and few enough to read.
const DAYS_MAX: u64 = 1000;

impl Builder<'_> {
    pub(super) fn quality(&mut self, file: &Read) -> Quality {
        let mut quality = Quality::default();
        let Some(read) = file.table("quality") else { return quality };
        if let (Some(days), Some((_, at))) = (count(read, "days"), read.number("days")) {
            if days > DAYS_MAX {
                self.reader.report(at, format!("`days` is at most {DAYS_MAX}"));
            }
            quality.days = days as usize;
        }
        quality.rows_fall_max = share(read, "rows_fall_max").unwrap_or(quality.rows_fall_max);
        quality.rows_rise_max = share(read, "rows_rise_max");
        quality.duplicates_max = share(read, "duplicates_max").unwrap_or(quality.duplicates_max);
        quality.refused_max = share(read, "refused_max").unwrap_or(quality.refused_max);
        quality.change_max = share(read, "change_max");
        quality
    }

    pub(super) fn tag_quality(&mut self, tag: &Read, ty: Type) -> TagQuality {
        let Some(read) = tag.table("quality") else { return TagQuality::default() };
        let ordered = matches!(ty, Type::Int | Type::Decimal | Type::Double | Type::Datetime);
        for key in ["min", "max"] {
            if let (false, Some((_, at))) = (ordered, read.number(key)) {
                let hint = "`distinct_max` and `nulls_max` hold for values of any type";
                self.reader.report_hint(at, format!("`{key}` takes a tag of numbers, not {ty}"), hint);
            }
        }
        let quality = TagQuality {
            nulls_max: share(read, "nulls_max"),
            min: read.number("min").map(|(n, _)| n),
            max: read.number("max").map(|(n, _)| n),
            distinct_min: count(read, "distinct_min"),
            distinct_max: count(read, "distinct_max"),
            change_max: share(read, "change_max"),
        };
        if let (Some((low, _)), Some((high, at))) = (read.number("min"), read.number("max"))
            && low > high
        {
            self.reader.report(at, format!("`max` is below `min`: {high} < {low}"));
        }
        quality
    }
}

fn share(read: &Read, key: &str) -> Option<Share> {
    read.number(key).map(|(percent, _)| Share(percent))
}

fn count(read: &Read, key: &str) -> Option<u64> {
    read.number(key).and_then(|(n, _)| u64::try_from(n.0 / crate::money::SCALE).ok())
}
