//! Functions: how each of the registry is written for each engine. The registry names these beside the meaning.

use super::number::{finite, narrow, round_double, wide};
use super::{Call, Printed};
use crate::expr::engine::Engine;
use crate::expr::node::{Comparison, Literal};
use crate::value::Type;

pub(in crate::expr) fn abs(call: &Call<'_, '_>) -> Printed {
    let x = call.arg(0)?;
    Ok(match call.ty {
        Type::Int => narrow(call.engine(), &format!("ABS({})", wide(call.engine(), &x))),
        _ => format!("ABS({x})"),
    })
}

pub(in crate::expr) fn floor(call: &Call<'_, '_>) -> Printed {
    whole("FLOOR", call)
}

pub(in crate::expr) fn ceil(call: &Call<'_, '_>) -> Printed {
    whole("CEIL", call)
}

fn whole(name: &str, call: &Call<'_, '_>) -> Printed {
    let (x, engine) = (call.arg(0)?, call.engine());
    Ok(match (call.ty, engine) {
        (Type::Int, _) => x,
        (Type::Decimal, _) => engine.cast(&format!("{name}({x})"), Type::Decimal),
        // It gives an int; from 2⁵³ on a double is whole.
        (_, Engine::Spark) => {
            format!("CASE WHEN ABS({x}) < 9007199254740992e0 THEN CAST({name}({x}) AS DOUBLE) ELSE {x} END")
        }
        (_, Engine::DuckDb | Engine::Flink | Engine::ClickHouse) => format!("{name}({x})"),
    })
}

pub(in crate::expr) fn round(call: &Call<'_, '_>) -> Printed {
    let engine = call.engine();
    let places = match call.constant(1, "the number of places")? {
        None => 0,
        Some(Literal::Int(n)) => n,
        Some(_) => return Ok(engine.null(call.ty)),
    };
    if places < -18 {
        return Err(call.refuse("it rounds at most 18 places before the point"));
    }
    let x = call.arg(0)?;
    Ok(match call.ty {
        Type::Int if places >= 0 => x,
        Type::Decimal if places >= 6 => x,
        Type::Int => match engine {
            Engine::ClickHouse => {
                format!("toInt64OrNull(toString(round(CAST({x} AS Nullable(Decimal(76, 0))), {places})))")
            }
            Engine::DuckDb | Engine::Spark | Engine::Flink => {
                narrow(engine, &format!("CAST(ROUND(CAST({x} AS DECIMAL(38, 0)), {places}) AS DECIMAL(38, 0))"))
            }
        },
        Type::Decimal => engine.cast(&format!("ROUND({x}, {places})"), Type::Decimal),
        _ => {
            let scale = 10f64.powi(places.clamp(-40, 40) as i32);
            if places == 0 {
                return Ok(round_double(engine, &x));
            }
            let scaled = finite(&format!("({x} * {scale:e})"));
            finite(&format!("({} / {scale:e})", round_double(engine, &format!("({scaled})"))))
        }
    })
}

pub(in crate::expr) fn coalesce(call: &Call<'_, '_>) -> Printed {
    Ok(format!("COALESCE({})", call.all()?.join(", ")))
}

pub(in crate::expr) fn greatest(call: &Call<'_, '_>) -> Printed {
    extreme("GREATEST", call)
}

pub(in crate::expr) fn least(call: &Call<'_, '_>) -> Printed {
    extreme("LEAST", call)
}

/// NULLs are passed over.
fn extreme(name: &str, call: &Call<'_, '_>) -> Printed {
    let mut args = call.all()?;
    if let [one] = &args[..] {
        return Ok(one.clone());
    }
    match call.engine() {
        Engine::DuckDb | Engine::Spark | Engine::ClickHouse => Ok(format!("{name}({})", args.join(", "))),
        // It gives NULL where any is NULL: each NULL gives its place to the next value.
        Engine::Flink => {
            let (before, after) = match call.ty {
                Type::Bool => ("CAST(", " AS INT)"),
                Type::String => ("HEX(", ")"),
                _ => ("", ""),
            };
            let turned = |i: usize| {
                let turned = args.iter().cycle().skip(i).take(args.len());
                format!(
                    "COALESCE({})",
                    turned.map(|arg| format!("{before}{arg}{after}")).collect::<Vec<_>>().join(", ")
                )
            };
            let all = (0..args.len()).map(turned).collect::<Vec<_>>().join(", ");
            let found = format!("{name}({all})");
            args.clear();
            Ok(match call.ty {
                Type::Bool => format!("({found} = 1)"),
                Type::String => format!("DECODE(UNHEX({found}), 'UTF-8')"),
                _ => found,
            })
        }
    }
}

pub(in crate::expr) fn nullif(call: &Call<'_, '_>) -> Printed {
    let equal = call.printer.compare(Comparison::Eq, &call.args[0], &call.args[1])?;
    let x = call.arg(0)?;
    Ok(format!("CASE WHEN {equal} THEN NULL ELSE {x} END"))
}

pub(in crate::expr) fn concat(call: &Call<'_, '_>) -> Printed {
    let args = call.all()?;
    Ok(match (&args[..], call.engine()) {
        ([one], _) => one.clone(),
        (_, Engine::DuckDb | Engine::Flink) => format!("({})", args.join(" || ")),
        (_, Engine::Spark | Engine::ClickHouse) => format!("concat({})", args.join(", ")),
    })
}

/// Lists are never empty: of nothing there is no list.
pub(in crate::expr) fn len(call: &Call<'_, '_>) -> Printed {
    let x = call.arg(0)?;
    let len = match call.engine() {
        Engine::DuckDb => format!("len({x})"),
        // Its older ways give -1 for NULL.
        Engine::Spark => format!("CASE WHEN {x} IS NOT NULL THEN size({x}) END"),
        Engine::Flink | Engine::ClickHouse => return Err(call.refuse("no tag is a list there")),
    };
    Ok(call.engine().cast(&len, Type::Int))
}

pub(in crate::expr) fn contains(call: &Call<'_, '_>) -> Printed {
    let (Some(Type::List(item)), ty) = (call.args[0].ty, call.args[1].ty) else {
        return Ok(call.engine().null(Type::Bool));
    };
    if ty.is_some_and(|ty| ty != *item) {
        return Err(call.refuse("the list and the value must be of one type"));
    }
    let (list, value) = (call.arg(0)?, call.arg_as(1, *item)?);
    let name = match call.engine() {
        Engine::DuckDb => "list_contains",
        Engine::Spark => "array_contains",
        Engine::Flink | Engine::ClickHouse => return Err(call.refuse("no tag is a list there")),
    };
    Ok(format!("CASE WHEN {value} IS NOT NULL THEN {name}({list}, {value}) END"))
}

pub(in crate::expr) fn length(call: &Call<'_, '_>) -> Printed {
    let x = call.arg_as(0, Type::String)?;
    let engine = call.engine();
    let length = match engine {
        Engine::DuckDb => format!("length({x})"),
        Engine::Spark | Engine::Flink => format!("CHAR_LENGTH({x})"),
        Engine::ClickHouse => format!("lengthUTF8({x})"),
    };
    Ok(engine.cast(&length, Type::Int))
}

pub(in crate::expr) fn lower(call: &Call<'_, '_>) -> Printed {
    let x = call.arg(0)?;
    Ok(match call.engine() {
        Engine::DuckDb => {
            // It knows neither the capital I with its dot nor where a sigma ends a word.
            let x = format!("replace(replace({x}, 'İ', 'i̇'), '\u{1c89}', '\u{1c8a}')");
            format!("CASE WHEN contains({x}, 'Σ') THEN error('LOWER of a text with Σ') ELSE lower({x}) END")
        }
        Engine::Spark => format!("LOWER({x})"),
        // A constant has a length there, and the result would be cut to it.
        Engine::Flink => format!("LOWER(CAST({x} AS STRING))"),
        Engine::ClickHouse => format!("lowerUTF8({x})"),
    })
}

pub(in crate::expr) fn upper(call: &Call<'_, '_>) -> Printed {
    let x = call.arg(0)?;
    Ok(match call.engine() {
        Engine::DuckDb => {
            let x = format!("replace({x}, 'ß', 'SS')");
            let class = call.engine().string(&format!("[{}]", growing()));
            let message = "error('UPPER of a text with letters that become several')";
            format!("CASE WHEN regexp_matches({x}, {class}) THEN {message} ELSE upper({x}) END")
        }
        Engine::Spark => format!("UPPER({x})"),
        Engine::Flink => format!("UPPER(CAST({x} AS STRING))"),
        Engine::ClickHouse => format!("upperUTF8({x})"),
    })
}

/// The letters whose upper case DuckDB does not know: those that become several, but for ß, and the newest.
fn growing() -> String {
    let unknown =
        |c: &char| c.to_uppercase().count() > 1 && *c != 'ß' || matches!(c, '\u{19b}' | '\u{264}' | '\u{1c8a}');
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for c in ('\u{80}'..=char::MAX).filter(unknown).map(u32::from) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == c => *last = c,
            _ => ranges.push((c, c)),
        }
    }
    ranges.iter().map(|(first, last)| format!("\\x{{{first:X}}}-\\x{{{last:X}}}")).collect()
}

pub(in crate::expr) fn trim(call: &Call<'_, '_>) -> Printed {
    trimmed("BOTH", "trim", call)
}

pub(in crate::expr) fn ltrim(call: &Call<'_, '_>) -> Printed {
    trimmed("LEADING", "ltrim", call)
}

pub(in crate::expr) fn rtrim(call: &Call<'_, '_>) -> Printed {
    trimmed("TRAILING", "rtrim", call)
}

/// Takes off blanks only, or the characters of the second argument: a constant, since some engines take it apart early.
fn trimmed(side: &str, of_duckdb: &str, call: &Call<'_, '_>) -> Printed {
    let engine = call.engine();
    let set = match call.constant(1, "what is taken off")? {
        None => " ".into(),
        Some(Literal::Str(set)) => set,
        Some(_) => return Ok(engine.null(Type::String)),
    };
    let x = call.arg(0)?;
    if set.is_empty() {
        return Ok(x);
    }
    if engine == Engine::ClickHouse && !set.is_ascii() {
        return Err(call.refuse("it takes off bytes, not characters beyond ASCII"));
    }
    Ok(match engine {
        Engine::DuckDb => format!("{of_duckdb}({x}, {})", engine.string(&set)),
        Engine::Spark | Engine::Flink | Engine::ClickHouse => format!("TRIM({side} {} FROM {x})", engine.string(&set)),
    })
}

pub(in crate::expr) fn substring(call: &Call<'_, '_>) -> Printed {
    let engine = call.engine();
    // No text is longer, and some engines count in 32 bits.
    const FAR: i64 = 1 << 30;
    let mut numbers = Vec::new();
    for i in 1..call.args.len() {
        match call.constant(i, if i == 1 { "the position" } else { "the length" })? {
            Some(Literal::Int(n)) => numbers.push(n.clamp(-FAR, FAR)),
            _ => return Ok(engine.null(Type::String)),
        }
    }
    let x = call.arg(0)?;
    let name = if engine == Engine::ClickHouse { "substringUTF8" } else { "SUBSTRING" };
    let (from, len) = (if numbers[0] == 0 { 1 } else { numbers[0] }, numbers.get(1).map(|n| (*n).max(0)));
    let part = |from: &str, len: Option<String>| match len {
        None => format!("{name}({x}, {from})"),
        Some(len) => format!("{name}({x}, {from}, {len})"),
    };
    let whole = part(&from.to_string(), len.map(|n| n.to_string()));
    if from > 0 || engine != Engine::Flink {
        return Ok(whole);
    }
    // It gives nothing at all where the text begins later.
    let short = match len {
        None => x.clone(),
        Some(len) => part("1", Some(format!("GREATEST(CHAR_LENGTH({x}) + ({}), 0)", from + len))),
    };
    Ok(format!("CASE WHEN CHAR_LENGTH({x}) >= {} THEN {whole} ELSE {short} END", -from))
}

pub(in crate::expr) fn bucket(call: &Call<'_, '_>) -> Printed {
    let (salt, id) = (call.arg_as(0, Type::String)?, call.arg_as(1, Type::String)?);
    let head = match call.engine() {
        Engine::DuckDb => {
            format!("CAST('0x' || substring(sha256({salt} || chr(31) || {id}), 1, 13) AS BIGINT)")
        }
        Engine::Spark => {
            format!("CAST(conv(substring(sha2(concat({salt}, char(31), {id}), 256), 1, 13), 16, 10) AS BIGINT)")
        }
        Engine::ClickHouse => format!(
            "bitShiftRight(reinterpretAsUInt64(reverse(substring(SHA256(concat({salt}, char(31), {id})), 1, 8))), 12)"
        ),
        // It reads no hexadecimal numbers: digit by digit.
        Engine::Flink => {
            let hash = format!("SHA256({salt} || U&'\\001F' || {id})");
            let digit = |i: u32| {
                let place = format!("POSITION(SUBSTRING({hash}, {i}, 1) IN '0123456789abcdef') - 1");
                format!("CAST({place} AS BIGINT) * {}", call.engine().int(16i64.pow(13 - i)))
            };
            (1..=13).map(digit).collect::<Vec<_>>().join(" + ")
        }
    };
    Ok(format!("({} / 4503599627370496e0)", call.engine().cast(&head, Type::Double)))
}
