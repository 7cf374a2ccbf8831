//! Random expressions over a fixed table, each in adprof's SQL and in DuckDB's.
//!
//! The two texts differ only where the engines differ by design; what has no common meaning is not generated.

use adprof::expr::Names;
use adprof::money::Decimal;
use adprof::rows::Row;
use adprof::value::{Datum, Type};

/// The table: name, type, and its type in DuckDB.
pub const COLUMNS: &[(&str, Type, &str)] = &[
    ("b1", Type::Bool, "BOOLEAN"),
    ("b2", Type::Bool, "BOOLEAN"),
    ("i1", Type::Int, "BIGINT"),
    ("i2", Type::Int, "BIGINT"),
    ("d1", Type::Decimal, "DECIMAL(18,6)"),
    ("d2", Type::Decimal, "DECIMAL(18,6)"),
    ("x1", Type::Double, "DOUBLE"),
    ("x2", Type::Double, "DOUBLE"),
    ("s1", Type::String, "VARCHAR"),
    ("s2", Type::String, "VARCHAR"),
    ("t1", Type::Datetime, "TIMESTAMP"),
    ("t2", Type::Datetime, "TIMESTAMP"),
];

const WORDS: &[&str] =
    &["", "a", "ab", "aB", "sports", "Sports", "12", "-3", " x ", "é", "日本語", "a%b", "a_b", "x'y", "true"];
const PATTERNS: &[&str] = &["%", "a%", "%b", "%o%", "_", "__", "a_b", "s%s", "%日%", "", "ab", "!%%", "%!_%", "_%_"];
const DECIMALS: &[i128] =
    &[0, 1, -1, 500_000, -500_000, 1_500_000, 150_750_000, -2_500_000, 333_333, 2_000_000, 99_999_999];
const DOUBLES: &[f64] = &[0.0, 0.5, -0.5, 1.5, 2.0, 0.1, -150.75, 1e3, 2.5];
const TIMES: &[i64] = &[0, 1_731_296_325_000, 1_731_296_325_001, 1_731_283_200_000, -1000];

/// A row of the table.
pub struct Cells(pub Vec<Datum<'static>>);

impl Row for Cells {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.0[slot]
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(TIMES[1])
    }
}

/// The columns as names in scope.
pub struct Columns;

impl Names for Columns {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        COLUMNS.iter().position(|(known, ..)| *known == name).map(|slot| (slot, COLUMNS[slot].1))
    }

    fn known(&self) -> Vec<String> {
        COLUMNS.iter().map(|(name, ..)| name.to_string()).collect()
    }
}

/// The same expression for both engines.
#[derive(Clone, Debug)]
pub struct Pair {
    pub ours: String,
    pub duck: String,
}

fn both(text: impl Into<String>) -> Pair {
    let ours = text.into();
    Pair { duck: ours.clone(), ours }
}

/// Fills `{0}`, `{1}`, … of each template.
fn fill(ours: &str, duck: &str, parts: &[Pair]) -> Pair {
    let mut pair = Pair { ours: ours.to_string(), duck: duck.to_string() };
    for (i, part) in parts.iter().enumerate() {
        pair.ours = pair.ours.replace(&format!("{{{i}}}"), &part.ours);
        pair.duck = pair.duck.replace(&format!("{{{i}}}"), &part.duck);
    }
    pair
}

fn same(text: &str, parts: &[Pair]) -> Pair {
    fill(text, text, parts)
}

/// A small generator of numbers (SplitMix64): the same seed gives the same expressions everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// One row; every fourth cell is NULL.
    pub fn cells(&mut self) -> Cells {
        let cell = |(_, ty, _): &(&str, Type, &str)| match (self.below(4), ty) {
            (0, _) => Datum::Null,
            (_, Type::Bool) => Datum::Bool(self.below(2) == 0),
            (_, Type::Int) => Datum::Int(self.below(25) as i64 - 12),
            (_, Type::Decimal) => Datum::Decimal(Decimal(self.pick(DECIMALS))),
            (_, Type::Double) => Datum::Double(self.pick(DOUBLES)),
            (_, Type::String) => Datum::Str(self.pick(WORDS)),
            (_, Type::Datetime) => Datum::Time(self.pick(TIMES)),
            (_, Type::List(_) | Type::Map(_)) => Datum::Null,
        };
        Cells(COLUMNS.iter().map(cell).collect())
    }

    pub fn any(&mut self, depth: usize) -> Pair {
        let ty = self.pick(&Type::SCALARS);
        self.of(ty, depth)
    }

    pub fn of(&mut self, ty: Type, depth: usize) -> Pair {
        if depth == 0 || self.below(6) == 0 {
            return self.leaf(ty);
        }
        if self.below(5) == 0 {
            return self.choice(ty, depth - 1);
        }
        match ty {
            Type::Bool => self.condition(depth - 1),
            Type::Int => self.int(depth - 1),
            Type::Decimal => self.decimal(depth - 1),
            Type::Double => self.double(depth - 1),
            Type::String => self.string(depth - 1),
            Type::Datetime | Type::List(_) | Type::Map(_) => self.leaf(ty),
        }
    }

    fn list(&mut self, ty: Type, depth: usize, n: usize) -> Vec<Pair> {
        (0..n).map(|_| self.of(ty, depth)).collect()
    }

    fn leaf(&mut self, ty: Type) -> Pair {
        if self.below(3) > 0 {
            let columns: Vec<&str> = COLUMNS.iter().filter(|c| c.1 == ty).map(|c| c.0).collect();
            return both(self.pick(&columns));
        }
        if self.below(8) == 0 {
            let (.., duck) = COLUMNS.iter().find(|c| c.1 == ty).expect("every type has a column");
            return Pair { ours: "NULL".into(), duck: format!("CAST(NULL AS {duck})") };
        }
        match ty {
            Type::Bool => both(self.pick(&["TRUE", "FALSE"])),
            Type::Int => {
                let n = self.below(25) as i64 - 12;
                Pair { ours: n.to_string(), duck: format!("CAST({n} AS BIGINT)") }
            }
            Type::Decimal => {
                let d = Decimal(self.pick(DECIMALS));
                let ours = if d.0 % 1_000_000 == 0 { format!("{d}.0") } else { d.to_string() };
                Pair { duck: format!("CAST({ours} AS DECIMAL(18,6))"), ours }
            }
            Type::Double => {
                let x = format!("{:e}", self.pick(DOUBLES));
                Pair { duck: format!("CAST({x} AS DOUBLE)"), ours: x }
            }
            Type::String => both(format!("'{}'", self.pick(WORDS).replace('\'', "''"))),
            Type::Datetime | Type::List(_) | Type::Map(_) => both("TIMESTAMP '2024-11-11 03:38:45'"),
        }
    }

    /// What works for every type.
    fn choice(&mut self, ty: Type, depth: usize) -> Pair {
        match self.below(6) {
            0 => {
                let parts = [
                    self.of(Type::Bool, depth),
                    self.of(ty, depth),
                    self.of(Type::Bool, depth),
                    self.of(ty, depth),
                    self.of(ty, depth),
                ];
                same("CASE WHEN {0} THEN {1} WHEN {2} THEN {3} ELSE {4} END", &parts)
            }
            1 => {
                let other = self.pick(&[Type::Int, Type::String, Type::Decimal]);
                let parts = [
                    self.of(other, depth),
                    self.of(other, depth),
                    self.of(ty, depth),
                    self.of(other, depth),
                    self.of(ty, depth),
                ];
                same("CASE {0} WHEN {1} THEN {2} WHEN {3} THEN {4} END", &parts)
            }
            2 => same("COALESCE({0}, {1}, {2})", &self.list(ty, depth, 3)),
            3 => same("NULLIF({0}, {1})", &self.list(ty, depth, 2)),
            4 => same("GREATEST({0}, {1}, {2})", &self.list(ty, depth, 3)),
            _ => same("LEAST({0}, {1})", &self.list(ty, depth, 2)),
        }
    }

    fn condition(&mut self, depth: usize) -> Pair {
        let ty = self.pick(&Type::SCALARS);
        let comparison = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match self.below(12) {
            0 => same("({0}) AND ({1}) AND ({2})", &self.list(Type::Bool, depth, 3)),
            1 => same("({0}) OR ({1})", &self.list(Type::Bool, depth, 2)),
            2 => same("NOT ({0})", &self.list(Type::Bool, depth, 1)),
            3 => same(self.pick(&["({0}) IS NULL", "({0}) IS NOT NULL"]), &self.list(ty, depth, 1)),
            4 => {
                let (ours, duck) = self.pick(&[
                    ("({0}) IS TRUE", "({0}) IS NOT DISTINCT FROM TRUE"),
                    ("({0}) IS NOT TRUE", "({0}) IS DISTINCT FROM TRUE"),
                    ("({0}) IS FALSE", "({0}) IS NOT DISTINCT FROM FALSE"),
                    ("({0}) IS NOT FALSE", "({0}) IS DISTINCT FROM FALSE"),
                ]);
                fill(ours, duck, &self.list(Type::Bool, depth, 1))
            }
            5 => {
                same(self.pick(&["({0}) IN ({1}, {2}, {3})", "({0}) NOT IN ({1}, {2}, {3})"]), &self.list(ty, depth, 4))
            }
            6 => same(
                self.pick(&["({0}) BETWEEN ({1}) AND ({2})", "({0}) NOT BETWEEN ({1}) AND ({2})"]),
                &self.list(ty, depth, 3),
            ),
            7 => {
                let pattern = self.pick(PATTERNS).to_string();
                let like = self.pick(&["LIKE", "NOT LIKE"]);
                same(&format!("({{0}}) {like} '{pattern}' ESCAPE '!'"), &self.list(Type::String, depth, 1))
            }
            8 => {
                let types = [Type::Int, Type::Decimal, Type::Double];
                let parts = [self.pick(&types), self.pick(&types)].map(|ty| self.of(ty, depth));
                same(&format!("({{0}}) {comparison} ({{1}})"), &parts)
            }
            _ => same(&format!("({{0}}) {comparison} ({{1}})"), &self.list(ty, depth, 2)),
        }
    }

    fn int(&mut self, depth: usize) -> Pair {
        match self.below(8) {
            0 => same("({0}) + ({1})", &self.list(Type::Int, depth, 2)),
            1 => same("({0}) - ({1})", &self.list(Type::Int, depth, 2)),
            2 => same("({0}) * ({1})", &self.list(Type::Int, depth, 2)),
            3 => fill("({0}) % ({1})", "({0}) % NULLIF({1}, 0)", &self.list(Type::Int, depth, 2)),
            4 => same(self.pick(&["-({0})", "ABS({0})"]), &self.list(Type::Int, depth, 1)),
            5 => fill("LENGTH({0})", "CAST(LENGTH({0}) AS BIGINT)", &self.list(Type::String, depth, 1)),
            6 => fill("CAST({0} AS BIGINT)", "TRY_CAST({0} AS BIGINT)", &self.list(Type::String, depth, 1)),
            // DuckDB rounds on the way to an int.
            _ => fill("CAST({0} AS BIGINT)", "CAST(TRUNC({0}) AS BIGINT)", &self.list(Type::Decimal, depth, 1)),
        }
    }

    /// No division: DuckDB gives a double. It keeps all places of a product, six are kept here.
    fn decimal(&mut self, depth: usize) -> Pair {
        let six = |text: &str| format!("CAST({text} AS DECIMAL(18,6))");
        let two = |text: &str, parts: &[Pair]| fill(text, &six(text), parts);
        match self.below(8) {
            0 => two("({0}) + ({1})", &self.list(Type::Decimal, depth, 2)),
            1 => two("({0}) - ({1})", &self.list(Type::Decimal, depth, 2)),
            2 => two("({0}) * ({1})", &self.list(Type::Decimal, 0, 2)),
            3 => fill("({0}) % ({1})", &six("({0}) % NULLIF({1}, 0)"), &self.list(Type::Decimal, depth, 2)),
            4 => two(
                self.pick(&["-({0})", "ABS({0})", "FLOOR({0})", "CEIL({0})", "ROUND({0}, 2)", "ROUND({0})"]),
                &self.list(Type::Decimal, depth, 1),
            ),
            5 => two("CAST({0} AS DECIMAL(18,6))", &self.list(Type::Int, 0, 1)),
            6 => fill("CAST({0} AS DECIMAL)", "TRY_CAST({0} AS DECIMAL(18,6))", &self.list(Type::String, depth, 1)),
            _ => {
                let parts = [self.of(Type::Decimal, depth), self.of(Type::Int, 0)];
                fill("({0}) + ({1})", &six("({0}) + CAST({1} AS DECIMAL(18,6))"), &parts)
            }
        }
    }

    fn double(&mut self, depth: usize) -> Pair {
        match self.below(6) {
            0 => same("({0}) + ({1})", &self.list(Type::Double, depth, 2)),
            1 => same("({0}) - ({1})", &self.list(Type::Double, depth, 2)),
            2 => same("({0}) * ({1})", &self.list(Type::Double, 0, 2)),
            // By zero is NULL here and infinite there.
            3 => fill("({0}) / ({1})", "({0}) / NULLIF({1}, 0)", &self.list(Type::Double, 0, 2)),
            4 => same(
                self.pick(&["-({0})", "ABS({0})", "FLOOR({0})", "CEIL({0})", "ROUND({0})"]),
                &self.list(Type::Double, depth, 1),
            ),
            _ => same("CAST({0} AS DOUBLE)", &[self.number(depth)]),
        }
    }

    fn number(&mut self, depth: usize) -> Pair {
        let ty = self.pick(&[Type::Int, Type::Decimal]);
        self.of(ty, depth)
    }

    fn string(&mut self, depth: usize) -> Pair {
        match self.below(7) {
            0 => same("({0}) || ({1})", &self.list(Type::String, depth, 2)),
            1 => same(self.pick(&["LOWER({0})", "UPPER({0})"]), &self.list(Type::String, depth, 1)),
            2 => same(self.pick(&["TRIM({0})", "LTRIM({0})", "RTRIM({0})"]), &self.list(Type::String, depth, 1)),
            3 => {
                let (from, len) = (self.below(4) + 1, self.below(4));
                same(&format!("SUBSTRING({{0}}, {from}, {len})"), &self.list(Type::String, depth, 1))
            }
            4 => same("CAST({0} AS VARCHAR)", &self.list(Type::Int, depth, 1)),
            5 => same("CAST({0} AS VARCHAR)", &self.list(Type::Bool, depth, 1)),
            // `||` of a NULL is NULL everywhere; DuckDB's CONCAT passes NULLs over.
            _ => fill("CONCAT({0}, {1}, {2})", "({0}) || ({1}) || ({2})", &self.list(Type::String, depth, 3)),
        }
    }
}
