//! Laws of expressions, as rows of (expression, result).

use super::*;
use crate::money::Decimal;

/// A row of named values.
pub(super) struct Fields(pub Vec<(&'static str, Type, Datum<'static>)>);

impl Names for Fields {
    fn resolve(&mut self, name: &str) -> Option<(usize, Type)> {
        self.0.iter().position(|(known, ..)| *known == name).map(|slot| (slot, self.0[slot].1))
    }

    fn known(&self) -> Vec<String> {
        self.0.iter().map(|(name, ..)| name.to_string()).collect()
    }
}

impl Row for Fields {
    fn datum(&self, slot: usize) -> Datum<'_> {
        self.0[slot].2
    }

    fn as_of(&self) -> Datum<'_> {
        Datum::Time(1_731_296_325_000)
    }
}

pub(super) fn fields() -> Fields {
    let none = Datum::Null;
    Fields(vec![
        ("category", Type::String, Datum::Str("sports")),
        ("amount", Type::Decimal, Datum::Decimal(Decimal(150_750_000))),
        ("timestamp", Type::Datetime, Datum::Time(1_731_296_325_000)),
        ("n", Type::Int, Datum::Int(7)),
        ("x", Type::Double, Datum::Double(0.5)),
        ("yes", Type::Bool, Datum::Bool(true)),
        ("no", Type::Bool, Datum::Bool(false)),
        ("b", Type::Bool, none),
        ("s", Type::String, none),
        ("d", Type::Decimal, none),
        ("i", Type::Int, none),
        ("properties.duration", Type::Int, Datum::Int(42)),
        ("my-tag", Type::Int, Datum::Int(1)),
        ("end", Type::Int, Datum::Int(2)),
        ("items", Type::List(&Type::String), Datum::Json("[\"a\",\"b\",\"c\"]")),
        ("seen", Type::List(&Type::Datetime), Datum::Json("[1731296325000]")),
        ("shares", Type::Map(&Type::Int), Datum::Json("{\"x\":1,\"y\":2}")),
        ("nothing", Type::Map(&Type::Int), none),
    ])
}

/// The value as text: what a literal of it would look like.
fn show(text: &str) -> String {
    let fields = fields();
    let expr = parse(text, &mut super::tests::fields()).unwrap_or_else(|e| panic!("{text}: {e} ({:?})", e.hint));
    let scratch = Scratch::new();
    let value = expr.eval(&fields, &scratch);
    let again = parse(&expr.canonical(), &mut super::tests::fields())
        .unwrap_or_else(|e| panic!("{text} → {}: {e}", expr.canonical()));
    assert_eq!(again.canonical(), expr.canonical(), "{text}");
    assert_eq!(again.eval(&fields, &scratch), value, "{text} → {}", expr.canonical());
    assert_eq!(expr.is_true(&fields, &scratch), value == Datum::Bool(true), "{text}");
    let fits = match value {
        Datum::Null => true,
        Datum::Bool(_) => expr.ty == Type::Bool,
        Datum::Int(_) => expr.ty == Type::Int,
        Datum::Decimal(_) => expr.ty == Type::Decimal,
        Datum::Double(_) => expr.ty == Type::Double,
        Datum::Str(_) => expr.ty == Type::String,
        Datum::Time(_) => expr.ty == Type::Datetime,
        Datum::Json(_) => expr.ty.is_nested(),
    };
    assert!(fits, "{text} is {value:?}, declared {}", expr.ty);
    value.to_value().map_or("NULL".to_string(), |v| v.to_string())
}

fn rows(rows: &[(&str, &str)]) {
    for (text, want) in rows {
        assert_eq!(show(text), *want, "{text}");
    }
}

#[test]
fn logic_has_three_values() {
    let values = [("yes", Some(true)), ("no", Some(false)), ("b", None)];
    let word = |v: Option<bool>| v.map_or("NULL".to_string(), |b| b.to_string());
    for (a, va) in values {
        assert_eq!(show(&format!("NOT {a}")), word(va.map(|v| !v)));
        for (test, want) in [
            ("IS TRUE", va == Some(true)),
            ("IS NOT TRUE", va != Some(true)),
            ("IS FALSE", va == Some(false)),
            ("IS NOT FALSE", va != Some(false)),
            ("IS NULL", va.is_none()),
            ("IS NOT NULL", va.is_some()),
        ] {
            assert_eq!(show(&format!("{a} {test}")), want.to_string());
        }
        for (b, vb) in values {
            let and = if va == Some(false) || vb == Some(false) { Some(false) } else { va.and(vb) };
            let or = if va == Some(true) || vb == Some(true) { Some(true) } else { va.and(vb) };
            assert_eq!(show(&format!("{a} AND {b}")), word(and));
            assert_eq!(show(&format!("{a} OR {b}")), word(or));
            assert_eq!(show(&format!("{a} = {b}")), word(va.zip(vb).map(|(a, b)| a == b)));
        }
    }
}

#[test]
fn comparisons_are_exact_and_null_is_unknown() {
    rows(&[
        ("category = 'sports'", "true"),
        ("category <> 'Sports'", "true"),
        ("category < 'sportt'", "true"),
        ("'é' > 'z'", "true"),
        ("s = 'x'", "NULL"),
        ("NULL = NULL", "NULL"),
        ("amount = 150.75", "true"),
        ("amount > 150", "true"),
        ("n = 7.0", "true"),
        ("x = 0.5", "true"),
        ("CAST(9007199254740993 AS DECIMAL) = 9007199254740992", "false"),
        ("timestamp >= 1731296325000", "true"),
        ("timestamp = TIMESTAMP '2024-11-11T03:38:45Z'", "true"),
        ("timestamp >= DATE '2024-11-11'", "true"),
        ("timestamp = as_of()", "true"),
        ("properties.duration >= 42", "true"),
        ("\"my-tag\" = 1 AND \"end\" = 2", "true"),
    ]);
}

#[test]
fn in_between_like_follow_the_rules_for_null() {
    rows(&[
        ("n IN (1, 7)", "true"),
        ("n IN (1, NULL)", "NULL"),
        ("n IN (7, NULL)", "true"),
        ("n NOT IN (1, 2)", "true"),
        ("n NOT IN (1, NULL)", "NULL"),
        ("n NOT IN (7, NULL)", "false"),
        ("i IN (1)", "NULL"),
        ("n IN (6.5, 7.0)", "true"),
        ("n BETWEEN 7 AND 8", "true"),
        ("n BETWEEN 8 AND NULL", "false"),
        ("n BETWEEN 7 AND NULL", "NULL"),
        ("n NOT BETWEEN 8 AND NULL", "true"),
        ("category LIKE 'spo%'", "true"),
        ("category LIKE 'SPO%'", "false"),
        ("category NOT LIKE '_ports'", "false"),
        ("s LIKE '%'", "NULL"),
        ("category LIKE s", "NULL"),
        ("category LIKE category", "true"),
        ("'10%' LIKE '10!%' ESCAPE '!'", "true"),
        ("'100' LIKE '10!%' ESCAPE '!'", "false"),
    ]);
}

#[test]
fn arithmetic_is_exact_and_what_does_not_fit_is_null() {
    rows(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("1 / 3", "0.333333"),
        ("-2 / 3", "-0.666667"),
        ("n / 0", "NULL"),
        ("n % 0", "NULL"),
        ("-7 % 3", "-1"),
        ("7 % -3", "1"),
        ("7.5 % 2", "1.5"),
        ("-9223372036854775808 % -1", "0"),
        ("9223372036854775807 + 1", "NULL"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-(-9223372036854775808)", "NULL"),
        ("0.1 + 0.2", "0.3"),
        ("0.000001 * 0.5", "0.000001"),
        ("amount * 2", "301.5"),
        ("amount / 0", "NULL"),
        ("x * 3", "1.5"),
        ("1e308 * 10", "NULL"),
        ("1e0 / 0", "NULL"),
        ("1e3 + 1", "1001"),
        ("n - -1", "8"),
        ("- (-n)", "7"),
        ("-(5) + 0", "-5"),
        ("i + 1", "NULL"),
        (".5 + 1.", "1.5"),
        ("timestamp - 5000", "1731296320000"),
        ("timestamp - TIMESTAMP '2024-11-11T03:38:44Z'", "1000"),
        ("as_of() - timestamp", "0"),
    ]);
}

#[test]
fn case_and_functions() {
    rows(&[
        ("CASE WHEN amount >= 100 THEN 'high' WHEN amount > 0 THEN 'buyer' ELSE 'browser' END", "high"),
        ("CASE WHEN d >= 100 THEN 'high' ELSE 'none' END", "none"),
        ("CASE WHEN no THEN 1 END", "NULL"),
        ("CASE n WHEN 1 THEN 'one' WHEN 7 THEN 'seven' END", "seven"),
        ("CASE i WHEN NULL THEN 'null' ELSE 'other' END", "other"),
        ("CASE WHEN yes THEN 1 ELSE 2.5 END", "1"),
        ("COALESCE(s, category)", "sports"),
        ("COALESCE(i, 0) + 1", "1"),
        ("COALESCE(d, i, 1.5)", "1.5"),
        ("NULLIF(n, 7)", "NULL"),
        ("NULLIF(n, 8)", "7"),
        ("LOWER('ÀB')", "àb"),
        ("UPPER('straße')", "STRASSE"),
        ("TRIM('  a b ')", "a b"),
        ("TRIM(BOTH 'x' FROM 'xxaxx')", "a"),
        ("TRIM(LEADING ' ' FROM '  a ')", "a "),
        ("LTRIM('  a') || RTRIM('b  ')", "ab"),
        ("ABS(-5) + ABS(-2.5)", "7.5"),
        ("LENGTH('日本語')", "3"),
        ("CHAR_LENGTH(s)", "NULL"),
        ("CONCAT('a', 'b', 'c')", "abc"),
        ("'a' || s", "NULL"),
        ("SUBSTRING('héllo', 2, 3)", "éll"),
        ("SUBSTRING('hello' FROM 2 FOR 2)", "el"),
        ("SUBSTRING('hello' FROM 4)", "lo"),
        ("SUBSTRING('hello', -3)", "llo"),
        ("SUBSTRING('abc', -5, 3)", "a"),
        ("SUBSTRING('abc', 9)", ""),
        ("SUBSTRING('abc', 2, -1)", ""),
        ("ROUND(2.5) + ROUND(-2.5)", "0"),
        ("ROUND(-2.5)", "-3"),
        ("ROUND(1.23456, 2)", "1.23"),
        ("ROUND(155, -1)", "160"),
        ("FLOOR(-1.5)", "-2"),
        ("CEIL(1.2)", "2"),
        ("CEILING(-1.2)", "-1"),
        ("GREATEST(1, 2.5, i)", "2.5"),
        ("LEAST(3, 2, i)", "2"),
        ("bucket('exp1', 'u-001')", "0.17432952802797486"),
        ("bucket('exp1', s)", "NULL"),
    ]);
}

#[test]
fn lists_and_maps_are_passed_on_and_looked_into() {
    rows(&[
        ("items", "[\"a\",\"b\",\"c\"]"),
        ("COALESCE(nothing, shares)", "{\"x\":1,\"y\":2}"),
        ("CASE WHEN no THEN nothing ELSE shares END", "{\"x\":1,\"y\":2}"),
        ("items IS NOT NULL AND nothing IS NULL", "true"),
        ("len(items) + len(shares)", "5"),
        ("len(nothing)", "NULL"),
        ("contains(items, 'b')", "true"),
        ("contains(items, 'd')", "false"),
        ("contains(items, s)", "NULL"),
        ("contains(seen, timestamp)", "true"),
        ("contains(seen, 1731296325001)", "false"),
        ("CAST(shares AS VARCHAR)", "{\"x\":1,\"y\":2}"),
    ]);
}

#[test]
fn casts_are_safe() {
    rows(&[
        ("CAST('12' AS BIGINT)", "12"),
        ("CAST('1x' AS INT)", "NULL"),
        ("CAST(2.9 AS INT)", "2"),
        ("CAST(-2.9 AS INT)", "-2"),
        ("CAST(1e30 AS BIGINT)", "NULL"),
        ("CAST('150.75' AS DECIMAL) + 1", "151.75"),
        ("CAST('0.1234567' AS DECIMAL(38, 6))", "0.123457"),
        ("CAST(amount AS VARCHAR) || '!'", "150.75!"),
        ("CAST(0.1 AS DOUBLE)", "0.1"),
        ("CAST('nan' AS DOUBLE)", "NULL"),
        ("CAST('TRUE' AS BOOLEAN)", "true"),
        ("CAST(yes AS INT)", "1"),
        ("CAST('2024-11-11T03:38:45Z' AS TIMESTAMP) = timestamp", "true"),
        ("CAST('soon' AS TIMESTAMP)", "NULL"),
        ("CAST(timestamp AS VARCHAR)", "2024-11-11T03:38:45.000Z"),
        ("CAST(timestamp AS BIGINT) % 1000", "0"),
        ("CAST(n AS TIMESTAMP)", "7"),
        ("TRY_CAST('x' AS INT)", "NULL"),
        ("n::VARCHAR", "7"),
    ]);
}

/// Every row: the text, the part that the caret stands under, the message, the hint.
#[test]
fn errors_point_at_their_place() {
    for (text, part, message, hint) in [
        ("pirce > 5", "pirce", "unknown field: pirce", ""),
        ("1 = 1 AND amuont > 5", "amuont", "unknown field: amuont", "did you mean amount?"),
        (
            "properties.duratoin",
            "properties.duratoin",
            "unknown field: properties.duratoin",
            "did you mean properties.duration?",
        ),
        (
            "category = \"swim wear\"",
            "\"swim wear\"",
            "unknown field: swim wear",
            "a text takes single quotes: 'swim wear'",
        ),
        ("loewr(category)", "loewr", "unknown function: loewr", "did you mean lower?"),
        ("now()", "now", "unknown function: now", "the instant of a value is as_of()"),
        ("category > 5", "5", "cannot compare string with int", "convert one side: CAST(… AS BIGINT)"),
        ("n = 1 AND category", "category", "`AND` takes a condition, not string", ""),
        ("category + 'x'", "'x'", "cannot calculate string + string", "texts are joined by ||"),
        ("timestamp * 2", "2", "cannot calculate datetime * int", "convert one side with CAST"),
        ("n IN (1, 'a')", "'a'", "cannot compare int with string", "convert one side: CAST(… AS BIGINT)"),
        (
            "CASE WHEN yes THEN 1 ELSE 'a' END",
            "'a'",
            "cannot mix int with string",
            "convert one side: CAST(… AS BIGINT)",
        ),
        ("lower(n)", "n", "`lower` takes a string here, not int", "convert it: CAST(… AS VARCHAR)"),
        ("lower(category, 1)", "lower", "`lower` takes 1 argument, not 2", ""),
        ("category ILIKE 'a'", "category ILIKE 'a'", "not supported: ILIKE", "write LOWER(…) LIKE …"),
        ("n = (SELECT 1)", "SELECT 1", "not supported: a subquery", ""),
        ("n IN (SELECT 1)", "n IN (SELECT 1", "not supported: a subquery", ""),
        (
            "0.0000001 = 1",
            "0.0000001",
            "more than 6 decimal places: 0.0000001",
            "a decimal is exact and has six places; write a double as 1.25e-7",
        ),
        ("n = 1 n", "n", "unexpected here: n", ""),
        ("n >", "", "expected an expression, found the end", ""),
        ("CASE WHEN yes THEN 1 ELS 2 END", "ELS", "expected `END`, found `ELS`", ""),
        ("abs(n", "", "expected `)`, found the end", ""),
        (
            "sum(n) FILTER (WHERE yes)",
            "sum",
            "not supported: FILTER",
            "a condition on events goes into `where`, a span of time into `window`",
        ),
        ("n = 'a", "'a", "unterminated string literal", ""),
        ("", "", "the expression is empty", ""),
        ("category LIKE 'a!' ESCAPE '!'", "'a!'", "the pattern ends in its escape character", ""),
        (
            "CAST(n AS DATE)",
            "n",
            "cannot cast to DATE",
            "types are BOOLEAN, BIGINT, DECIMAL (six places), DOUBLE, VARCHAR and TIMESTAMP",
        ),
        (
            "CAST(x AS TIMESTAMP)",
            "x",
            "cannot cast double to datetime",
            "a datetime converts from and to BIGINT (milliseconds) and VARCHAR",
        ),
        (
            "sum(n) OVER ()",
            "sum",
            "not supported: OVER",
            "a condition on events goes into `where`, a span of time into `window`",
        ),
        (
            "items = items",
            "items",
            "cannot compare list<string> with list<string>",
            "len(x) tells how many there are, contains(list, value) whether one is among them",
        ),
        (
            "GREATEST(shares, shares)",
            "shares",
            "cannot compare map<int> with map<int>",
            "len(x) tells how many there are, contains(list, value) whether one is among them",
        ),
        ("len(n)", "n", "`len` takes a list or a map here, not int", ""),
        ("contains(shares, 'x')", "shares", "`contains` takes a list here, not map<int>", ""),
        ("contains(items, 5)", "5", "cannot compare string with int", "convert one side: CAST(… AS BIGINT)"),
        (
            "CAST(items AS BIGINT)",
            "items",
            "cannot cast list<string> to int",
            "a list or a map converts to VARCHAR, as JSON",
        ),
        ("日本 = 1 OR\n  amuont = 1", "日本", "unknown field: 日本", ""),
        ("n = 1 OR\n  amuont = 1", "amuont", "unknown field: amuont", "did you mean amount?"),
    ] {
        let e = parse(text, &mut fields()).expect_err(text);
        assert_eq!(e.message, message, "{text}");
        assert_eq!(e.hint.as_deref().unwrap_or(""), hint, "{text}");
        let found = &text[e.offset..];
        assert!(found.starts_with(part), "{text}: at {found:?}, not {part:?}");
        assert!(e.offset + e.len <= text.len(), "{text}");
    }
}

#[test]
fn no_text_however_hostile_does_harm() {
    let bombs = [
        "(".repeat(16_000),
        format!("{}1{}", "(".repeat(8000), ")".repeat(8000)),
        format!("1{}", "+1".repeat(8000)),
        format!("yes{}", " AND yes".repeat(2000)),
        format!("yes{} AND", " AND yes".repeat(1900)),
        format!("yes{}", " OR yes AND no".repeat(1100)),
        format!("'a'{}", "||'a'".repeat(3000)),
        format!("n{}", " IS NULL".repeat(2000)),
        format!("n{}", "::int".repeat(3000)),
        "NOT ".repeat(4000),
        "-".repeat(16_000),
        "- ".repeat(8000),
        "CASE ".repeat(3000),
        "case-".repeat(3000),
        format!("{}n{}", "CASE WHEN ".repeat(60), " THEN 1 END".repeat(60)),
        "abs(".repeat(4000),
        format!("{}n{}", "abs(".repeat(60), ")".repeat(60)),
        format!("{}n{}", "CASE WHEN abs(".repeat(64), ") > 1 THEN 1 END".repeat(64)),
        format!("{}n{}", "CASE WHEN abs(".repeat(31), ") > 1 THEN 1 END".repeat(31)),
        format!("{}n{}", "NOT (".repeat(63), ")".repeat(63)),
        format!("{}n{}", "substring(trim(".repeat(32), "),1)".repeat(32)),
        "CAST(".repeat(3000),
        "n.".repeat(8000),
        "IF(current_time(".repeat(900),
        "[".repeat(16_000),
        "1,".repeat(8000),
        format!("n IN ({}1)", "1,".repeat(8000)),
        "/*".repeat(8000),
        "'".repeat(16_383),
        "x".repeat(20_000),
        "interval ".repeat(1800),
        "{".repeat(16_000),
    ];
    for bomb in bombs {
        let started = std::time::Instant::now();
        let _ = parse(&bomb, &mut fields()).map(|e| {
            let scratch = Scratch::new();
            let _ = e.eval(&fields(), &scratch);
            e.canonical()
        });
        let head: String = bomb.chars().take(20).collect();
        assert!(started.elapsed().as_secs() < 5, "{head}… took {:?}", started.elapsed());
    }
}

#[test]
fn a_long_chain_of_conditions_is_fine() {
    assert_eq!(show(&format!("n = 0{}", " OR n = 7".repeat(1000))), "true");
    assert_eq!(show(&format!("LENGTH('a'{})", "||'a'".repeat(200))), "201");
}

#[test]
fn equal_expressions_share_their_canonical_text() {
    let canonical = |text: &str| parse(text, &mut fields()).expect(text).canonical();
    assert_eq!(canonical("n=1 and(category)like'a''b'"), "(n = 1) AND (category LIKE 'a''b')");
    assert_eq!(canonical("((n)) = /* one */ 1 AND category LIKE 'a''b'"), canonical("n=1 and(category)like'a''b'"));
    assert_eq!(canonical("char_length(category) + 1.50"), "LENGTH(category) + 1.5");
    assert_ne!(canonical("n = 1"), canonical("n = 1.0"));
    assert_eq!(
        canonical("timestamp > 5 AND properties.duration = \"end\""),
        "(timestamp > 5) AND (properties.duration = \"end\")"
    );
}

#[test]
fn an_aggregation_is_taken_apart() {
    let mut scope = fields();
    let call = parse_aggregation("Count(*)", &mut scope).expect("a call");
    assert_eq!((call.name.as_str(), call.star, call.args.len()), ("count", true, 0));
    let call = parse_aggregation(" count(DISTINCT category) ", &mut scope).expect("a call");
    assert_eq!((call.distinct, call.name_offset, call.arg_offsets[0]), (true, 1, 16));
    let call = parse_aggregation("sum(amount * 2)", &mut scope).expect("a call");
    assert_eq!((call.args[0].ty, call.args[0].canonical().as_str()), (Type::Decimal, "amount * 2"));
    let e = parse_aggregation("sum(pirce)", &mut scope).expect_err("unknown");
    assert_eq!((e.offset, e.len), (4, 5));
    assert!(parse_aggregation("n + 1", &mut scope).is_err());
    assert_eq!(top_call("(sum(n))").as_deref(), Some("sum"));
    assert_eq!(top_call("sum(n) / count(*)"), None);
}

#[test]
fn slots_and_as_of_are_known() {
    let mut scope = fields();
    let expr = parse("n + properties.duration + n", &mut scope).expect("valid");
    let mut slots = Vec::new();
    expr.slots(&mut slots);
    assert_eq!(slots, [3, 11]);
    assert!(!expr.uses_as_of());
    assert!(parse("CASE WHEN timestamp < AS_OF() - 5 THEN 1 END", &mut scope).expect("valid").uses_as_of());
}

#[test]
fn reserved_words_are_sorted_for_the_search() {
    assert!(RESERVED.is_sorted());
    for word in RESERVED {
        assert!(is_reserved(&word.to_uppercase()));
    }
}

#[test]
fn every_word_that_is_not_reserved_is_a_name_without_quotes() {
    struct Anything;
    impl Names for Anything {
        fn resolve(&mut self, _: &str) -> Option<(usize, Type)> {
            Some((0, Type::Int))
        }
        fn known(&self) -> Vec<String> {
            Vec::new()
        }
    }
    let mut wrong = Vec::new();
    for word in sqlparser::keywords::ALL_KEYWORDS.iter().map(|word| word.to_ascii_lowercase()) {
        if !is_plain_name(&word) {
            continue;
        }
        for template in [
            "@",
            "@ + 1",
            "@ = @",
            "CASE @ WHEN @ THEN @ ELSE @ END",
            "@ IN (@, @)",
            "@ BETWEEN @ AND @",
            "-@",
            "NOT (@ IS NULL)",
            "@.@",
            "x.@",
            "COALESCE(@, @)",
            "CAST(@ AS BIGINT)",
        ] {
            let text = template.replace('@', &word);
            match parse(&text, &mut Anything) {
                Ok(expr)
                    if parse(&expr.canonical(), &mut Anything)
                        .is_ok_and(|again| again.canonical() == expr.canonical()) => {}
                Ok(expr) => wrong.push(format!("{text} → {}", expr.canonical())),
                Err(e) => wrong.push(format!("{text}: {}", e.message)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spans_of_time_are_ints_of_milliseconds() {
    for (text, ms) in [
        ("INTERVAL '7' DAY", 604_800_000),
        ("INTERVAL 2 HOURS", 7_200_000),
        ("interval '1 week'", 604_800_000),
        ("INTERVAL '90' second", 90_000),
        ("INTERVAL '-3' MINUTE", -180_000),
    ] {
        let expr = parse(text, &mut fields()).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((expr.ty, expr.canonical()), (Type::Int, ms.to_string()), "{text}");
    }
    for text in ["ago('7d')", "as_of() - INTERVAL '7' DAY", "as_of() - 604800000"] {
        let expr = parse(text, &mut fields()).unwrap_or_else(|e| panic!("{text}: {e}"));
        // The canonical text is what fingerprints are made of: it stays.
        assert_eq!((expr.canonical(), expr.readable()), ("as_of() - 604800000".into(), "ago('7d')".into()), "{text}");
        assert_eq!(expr.ty, Type::Datetime);
    }
    for (text, message) in [
        ("INTERVAL '1' MONTH", "not an interval: months and years are not of one length"),
        ("INTERVAL '1 year'", "not an interval: months and years are not of one length"),
        ("INTERVAL 'x' DAY", "not an interval: 'x'"),
        ("INTERVAL '7'", "not an interval: '7'"),
        ("INTERVAL '1-2' YEAR TO MONTH", "not an interval"),
        ("ago(7)", "not a span: \"7\""),
        ("ago('7 days')", "not a span"),
        ("ago()", "`ago` takes one span of time"),
        ("in_segment('x')", "in_segment() has no place here"),
    ] {
        let error = parse(text, &mut fields()).expect_err(text);
        assert!(error.message.starts_with(message), "{text}: {error}");
    }
}
