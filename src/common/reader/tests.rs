//! The reader is the judge's equal: over lines of every shape, whole and damaged, with the same reader all along.

use super::*;
use crate::rows::Field;
use proptest::prelude::*;

const NOW: Millis = 1_731_300_000_000;

fn projection() -> Projection {
    let mut projection = Projection::default();
    for (path, ty) in [
        ("eventType", Type::String),
        ("category", Type::String),
        ("amount", Type::Decimal),
        ("timestamp", Type::Datetime),
        ("receivedAt", Type::Datetime),
        ("tenantId", Type::String),
        ("category", Type::Int),
        ("page", Type::String),
        ("score", Type::Int),
        ("score", Type::Double),
        ("score", Type::String),
        ("properties.duration", Type::Int),
        ("properties.deep.text", Type::String),
        ("properties.flag", Type::Bool),
        ("properties.price", Type::Decimal),
        ("page", Type::List(&Type::String)),
        ("category", Type::List(&Type::String)),
        ("properties.deep.x", Type::List(&Type::String)),
        ("properties.deep", Type::List(&Type::String)),
    ] {
        projection.slot(Field::new(path, ty));
    }
    projection
}

/// What a reading gave, in a form of its own.
type Seen = Result<Option<(Millis, Option<Millis>, Vec<Option<String>>)>, &'static str>;

fn read(reader: &mut Reader, projection: &Projection, line: &[u8]) -> Seen {
    match reader.read_alone(line, NOW) {
        Err(refusal) => Err(refusal.code.name()),
        Ok(false) => Ok(None),
        Ok(true) => {
            let (line, buf) = (reader.line(), reader.spare());
            let text = |cell: Cell| match cell {
                Cell::Null => None,
                Cell::Word(bits) => Some(format!("{bits}")),
                text => Some(String::from_utf8(line.text(text, buf).to_vec()).expect("UTF-8")),
            };
            let heads = [line.user(), line.event_id()].into_iter().chain(line.cells().iter().copied());
            let mut values: Vec<_> = heads.map(text).collect();
            values.push(Some(text(line.tenant()).unwrap_or_default()));
            assert_eq!(line.cells().len(), projection.fields.len());
            Ok(Some((line.timestamp(), line.received(), values)))
        }
    }
}

/// The same in two readings, the second one lazy and, if the line can have a shape, by its shape.
fn read_twice(reader: &mut Reader, projection: &Projection, line: &[u8]) -> Seen {
    let seen = read(reader, projection, line);
    if !line.contains(&b'\n') {
        assert_eq!(read_lazily(reader, projection, line), seen, "{}", String::from_utf8_lossy(line));
    }
    seen
}

fn read_lazily(reader: &mut Reader, projection: &Projection, line: &[u8]) -> Seen {
    let buf = [b"before\n", line, &[b'\n'; NEAR]].concat();
    let (to, outcome) = reader.read_lazily(&buf, 7, NOW);
    match outcome {
        Err(refusal) => return Err(refusal.code.name()),
        Ok(false) => return Ok(None),
        Ok(true) => assert_eq!(to, 7 + line.len()),
    }
    let text = |line: &Line, cell: Cell, buf: &[u8]| match cell {
        Cell::Null => None,
        Cell::Word(bits) => Some(format!("{bits}")),
        text => Some(String::from_utf8(line.text(text, buf).to_vec()).expect("UTF-8")),
    };
    let event = reader.lazy();
    assert_eq!(reader.laid.is_some(), matches!(event, Lazy::Laid(..)));
    let (read, values) = match event {
        Lazy::Read(line) => {
            let cells = [line.user(), line.event_id()].into_iter().chain(line.cells().iter().copied());
            let mut values: Vec<_> = cells.map(|cell| text(line, cell, &buf)).collect();
            values.push(Some(text(line, line.tenant(), &buf).unwrap_or_default()));
            (line, values)
        }
        Lazy::Laid(layout, numbers) => {
            let of = |place: Place| Some(String::from_utf8(place.of(&buf[7..]).to_vec()).expect("UTF-8"));
            let number = |slot: usize| text(numbers, numbers.cells()[slot], &buf);
            let mut values = vec![None; projection.fields.len()];
            for (slot, _) in projection.fields.iter().enumerate().filter(|(_, field)| field.path == ["timestamp"]) {
                values[slot] = number(slot);
            }
            for (slot, place) in &layout.fields {
                values[*slot] = place.map_or_else(|| number(*slot), of);
            }
            let ids = [layout.user, layout.event_id].map(of);
            (numbers, ids.into_iter().chain(values).chain([of(layout.tenant)]).collect())
        }
    };
    assert_eq!(event.timestamp(), read.timestamp());
    Ok(Some((read.timestamp(), read.received(), values)))
}

fn judge(projection: &Projection, rules: &Rules, line: &[u8]) -> Seen {
    let event = Event::parse(line, NOW, rules).map_err(|refusal| refusal.code.name())?;
    Ok(event.map(|event| {
        let cell = |field| {
            rows::field_of(&event, field).map(|word| match word {
                rows::Word::Bits(bits) => format!("{bits}"),
                rows::Word::Text(text) => text.into_owned(),
            })
        };
        let mut values = vec![Some(event.user_id.to_string()), Some(event.event_id.to_string())];
        values.extend(projection.fields.iter().map(cell));
        values.push(Some(event.tenant_id.as_deref().unwrap_or("").to_string()));
        (event.timestamp, event.received_at, values)
    }))
}

/// One value as some producer writes it, right or wrong for its field.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z0-9 -]{0,24}".prop_map(|s| format!("\"{s}\"")),
        3 => "[a-zé日\u{202e}\u{7f}🦀]{0,12}".prop_map(|s| format!("\"{s}\"")),
        2 => Just(r#""a\"b\u00e9\ud83e\udd80\n""#.to_string()),
        1 => Just(r#""half \ud83e""#.to_string()),
        1 => Just("\"\\u0000\"".to_string()),
        1 => Just("\"tab\there\"".to_string()),
        6 => (1_731_200_000_000i64..1_731_300_400_000).prop_map(|n| n.to_string()),
        4 => "-?(0|[1-9][0-9]{0,13})(\\.[0-9]{1,8})?",
        1 => "-?[0-9]{1,20}(e[+-]?[0-9]{1,3})?",
        1 => Just("1.".to_string()),
        1 => Just("01".to_string()),
        3 => Just("null".to_string()),
        2 => Just("true".to_string()),
        1 => Just("nul".to_string()),
        4 => (0..2000i32, "[a-zé]{0,9}", "-?[0-9]{1,3}\\.[0-9]{1,3}").prop_map(|(n, s, d)| {
            format!(r#"{{"duration": {n},"deep":{{"x":[1,{{"y":null}}],"text":"{s}"}},"flag":true , "price":{d}}}"#)
        }),
        1 => Just(r#"{"duration":1,"dur\u0061tion":2,"flag":1e400}"#.to_string()),
        1 => Just(r#"{"duration":1,"deep":{"text":"caf\u00e9"},"duration":5}"#.to_string()),
        1 => Just(r#"{"duration":}"#.to_string()),
        1 => Just(r#"[1,2,{"a":[]}]"#.to_string()),
        2 => Just(r#"[ "a" , "b\u00e9", "é",[], null ]"#.to_string()),
        1 => Just(r#"{"price":1e999,"deep":"\u00e9"}"#.to_string()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "category",
        "itemId",
        "tenantId",
        "amount",
        "receivedAt",
        "page",
        "score",
        "properties",
        "sessionId",
        "other",
        "a rather long name of a field that nobody wants",
        "größe",
        "cat\\u0065gory",
        "eventType",
    ];
    proptest::sample::select(known.to_vec()).prop_map(str::to_string)
}

/// Lines by a producer: most are events, in its own key order and spacing.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let required = (
        prop_oneof![9 => "[a-z0-9-]{1,20}".boxed(), 1 => "[a-zé\u{200e}]{0,9}".boxed()],
        prop_oneof![9 => "[a-z0-9-]{1,36}".boxed(), 1 => "[日🦀é ]{0,9}".boxed()],
        prop_oneof![Just("click".to_string()), Just("purchase".to_string()), Just("adprof.x".to_string())],
        prop_oneof![9 => (1_731_200_000_000i64..1_731_300_100_000).boxed(), 1 => (-5..1_731_300_400_000i64).boxed()],
    );
    let more = proptest::collection::vec((name(), value()), 0..5);
    let style = (0..4usize, prop_oneof![5 => Just(""), 1 => Just(" "), 1 => Just("\t")], 0..6usize);
    let tail = prop_oneof![9 => Just(""), 1 => Just("\r"), 1 => Just(" "), 1 => Just("x")];
    (required, more, style, tail, proptest::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>())))
        .prop_map(|((id, user, ty, ts), more, (order, blank, turn), tail, damage)| {
            let mut fields = vec![
                format!("\"eventId\":{blank}\"{id}\""),
                format!("\"userId\"{blank}:\"{user}\""),
                format!("\"eventType\":{blank}\"{ty}\""),
                format!("\"timestamp\":{blank}{ts}"),
            ];
            fields.extend(more.into_iter().map(|(name, value)| format!("\"{name}\":{blank}{value}")));
            match order {
                0 => {}
                1 => fields.reverse(),
                _ => {
                    let by = turn % fields.len();
                    fields.rotate_left(by);
                }
            }
            let mut line = format!("{blank}{{{}}}{tail}", fields.join(&format!("{blank},{blank}"))).into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(line.len());
                line[at] = if byte == b'\n' { b' ' } else { byte };
            }
            line
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn the_reader_gives_what_the_judge_gives(lines in proptest::collection::vec(line(), 1..8), reserved: bool, closed: bool) {
        let projection = projection();
        let event_types = closed.then(|| vec!["click".to_string(), "adprof.x".to_string()]);
        let rules = Rules { event_types, reserved };
        let mut reader = Reader::new(&projection, &rules);
        // Twice: what is scanned the first time is a step the second time.
        for line in lines.iter().chain(&lines) {
            let shown = String::from_utf8_lossy(line);
            prop_assert_eq!(read_twice(&mut reader, &projection, line), judge(&projection, &rules, line), "{}", shown);
        }
    }
}

/// Something to be done to a byte: another of its kind, or any other.
fn change() -> impl Strategy<Value = (prop::sample::Index, Option<u8>, u8)> {
    (any::<prop::sample::Index>(), proptest::option::weighted(0.1, any::<u8>()), 1..9u8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn a_line_as_long_as_one_before_is_what_the_judge_says(
        lines in proptest::collection::vec(line(), 1..4),
        changes in proptest::collection::vec(proptest::collection::vec(change(), 0..6), 1..12),
    ) {
        let (projection, rules) = (projection(), Rules::default());
        let mut reader = Reader::new(&projection, &rules);
        for (line, changes) in changes.iter().flat_map(|changes| lines.iter().map(move |line| (line, changes))) {
            let mut line = line.clone();
            for (at, byte, by) in changes {
                let at = at.index(line.len());
                line[at] = match line[at] {
                    old @ b'0'..=b'9' => b'0' + (old - b'0' + by) % 10,
                    old @ b'a'..=b'z' if byte.is_none() => b'a' + (old - b'a' + by) % 26,
                    old => byte.unwrap_or(old),
                };
                if line[at] == b'\n' {
                    line[at] = b'"';
                }
            }
            let shown = String::from_utf8_lossy(&line);
            prop_assert_eq!(read_twice(&mut reader, &projection, &line), judge(&projection, &rules, &line), "{}", shown);
        }
    }
}

#[test]
fn lines_of_few_lengths_are_read_by_their_shapes_and_others_by_steps() {
    let projection = projection();
    let mut reader = Reader::new(&projection, &Rules::default());
    let mut read_all = |lines: usize, id: fn(usize) -> String, page: fn(usize) -> String| {
        for n in 0..lines {
            let line = format!(
                r#"{{"eventId":"{}","userId":"u-{:07}","eventType":"{}","timestamp":{},"score":{},"amount":{},"receivedAt":null,"page":"{}"}}"#,
                id(n),
                n % 1000,
                ["view", "click"][n % 2],
                1_731_296_325_000 + n,
                n % 10,
                ["1.25", "12.5", "null"][n % 3],
                page(n),
            );
            let seen = read(&mut reader, &projection, line.as_bytes());
            assert_eq!(seen, judge(&projection, &Rules::default(), line.as_bytes()), "{line}");
        }
        (reader.shapes.hits(), reader.shapes.rests())
    };
    // All but the first of each type.
    assert_eq!(read_all(1000, |n| format!("e{n:015}"), |n| format!("p{}", n % 7)), (998, false));
    // Hardly any is as long as another in each part: not worth a look.
    let (_, rests) = read_all(5000, |n| format!("e{}", "7".repeat(n * 37 % 120)), |n| "p".repeat(n * 53 % 97));
    assert!(rests);
}

proptest! {
    #[test]
    fn a_message_on_several_lines_is_one_event_or_none(parts in proptest::collection::vec(line(), 1..4), after: bool, blank in 0..4usize) {
        let projection = projection();
        let rules = Rules::default();
        let mut reader = Reader::new(&projection, &rules);
        let mut lines = parts.join(&b'\n');
        lines.extend_from_slice(if after { b"\n" } else { b"" });
        // One event written over several lines.
        let [open, comma, colon, close] = std::array::from_fn(|i| if i == blank { "\n" } else { "" });
        let spread = format!(
            r#"{{{open}"eventId":"e"{comma},"userId":{colon}"u","eventType":"click","timestamp":1731296325000{close}}}"#
        );
        for message in [&lines, spread.as_bytes(), &parts[0]] {
            let shown = String::from_utf8_lossy(message);
            prop_assert_eq!(read_twice(&mut reader, &projection, message), judge(&projection, &rules, message), "{}", shown);
        }
        prop_assert!(read(&mut reader, &projection, spread.as_bytes()).is_ok_and(|row| row.is_some()));
    }
}

#[test]
fn a_value_may_be_of_another_kind_in_every_line() {
    let projection = projection();
    let values = ["5", "\"5\"", "null", "\"\"", "5.5", "true", "[1]", "{\"duration\":1}", "\"caf\\u00e9\"", "\"日\""];
    for name in ["score", "category", "page", "properties", "amount", "receivedAt", "tenantId"] {
        for first in values {
            let mut reader = Reader::new(&projection, &Rules::default());
            for second in values {
                for value in [first, second] {
                    let line = format!(
                        r#"{{"eventId":"e","userId":"u","eventType":"view","timestamp":1731296325000,"{name}":{value}}}"#
                    );
                    let seen = read_twice(&mut reader, &projection, line.as_bytes());
                    assert_eq!(seen, judge(&projection, &Rules::default(), line.as_bytes()), "{line}");
                }
            }
        }
    }
}

#[test]
fn of_a_field_that_stands_there_twice_nothing_is_left_but_the_last() {
    let projection = projection();
    let inside = r#"{"text":"a"}"#;
    let objects =
        [r#"{"duration":1}"#, r#"{"flag":true,"deep":{"text":"a"}}"#, r#"{"deep":{"x":1,"text":"b"},"price":1}"#];
    let wide = [r#"{"duration":1,"größe":1}"#, r#"{"größe":2}"#];
    let others = ["5", "{}", r#"{ "duration":2}"#, r#"[{"duration":3}]"#, r#""{\"duration\":4}""#, "null", inside];
    let values: Vec<&str> = objects.into_iter().chain(wide).chain(others).collect();
    let mut reader = Reader::new(&projection, &Rules::default());
    let twice = |name: &str, first: &str, second: &str| format!(r#""{name}":{first},"{name}":{second}"#);
    for (first, second) in values.iter().flat_map(|first| values.iter().map(move |second| (*first, *second))) {
        let below = format!(r#""properties":{{{}}}"#, twice("deep", first, second));
        for fields in [twice("properties", first, second), twice("properties", second, inside), below] {
            let line =
                format!(r#"{{"eventId":"e","userId":"u",{fields},"eventType":"view","timestamp":1731296325000}}"#);
            for _ in 0..2 {
                let seen = read_twice(&mut reader, &projection, line.as_bytes());
                assert_eq!(seen, judge(&projection, &Rules::default(), line.as_bytes()), "{line}");
            }
        }
    }
}

#[test]
fn names_and_lengths_may_change_with_every_line() {
    let projection = projection();
    let usual =
        r#"{"eventId":"e","userId":"u","eventType":"view","timestamp":1731296325000,"properties":{"duration":7}}"#;
    for inside in [true, false] {
        let mut reader = Reader::new(&projection, &Rules::default());
        for n in 0..3000usize {
            let (id, strange) = ("é".repeat(n % 5) + &"7".repeat(n % 40 + 1), format!(r#""strange{n}":{n}"#));
            let line = if inside {
                format!(
                    r#"{{"eventId":"{id}","userId":"u","eventType":"view","timestamp":1731296325000,"properties":{{{strange},"duration":{n}}},"page":"{id}"}}"#
                )
            } else {
                format!(
                    r#"{{"eventId":"e","userId":"{id}","eventType":"view","timestamp":1731296325000,{strange},"page":"p","properties":{{"duration":{n}}}}}"#
                )
            };
            for line in [&line, usual] {
                let seen = read_twice(&mut reader, &projection, line.as_bytes());
                assert_eq!(seen, judge(&projection, &Rules::default(), line.as_bytes()), "{line}");
            }
        }
        assert_eq!(reader.judged(), 0);
    }
}

#[test]
fn instants_are_taken_up_to_the_edges_the_judge_draws() {
    let projection = projection();
    let mut reader = Reader::new(&projection, &Rules::default());
    let edges = [0, 99_999_999_999, 100_000_000_000, 99_999_999_999_999, 100_000_000_000_000];
    let edges: Vec<i64> = edges.into_iter().chain((-1..=1).flat_map(|d| [NOW + d, NOW + FUTURE_MS + d])).collect();
    for timestamp in &edges {
        for received in edges.iter().map(i64::to_string).chain(["null".into()]) {
            let line = format!(
                r#"{{"eventId":"e","userId":"u","eventType":"view","timestamp":{timestamp},"receivedAt":{received}}}"#
            );
            let seen = read_twice(&mut reader, &projection, line.as_bytes());
            assert_eq!(seen, judge(&projection, &Rules::default(), line.as_bytes()), "{line}");
        }
    }
}

#[test]
fn usual_lines_never_reach_the_judge() {
    let projection = projection();
    let mut reader = Reader::new(&projection, &Rules::default());
    for line in [
        r#"{"eventId":"e-1","userId":"u-001","eventType":"click","timestamp":1731296325000,"category":"sports"}"#,
        r#"{"eventId":"e-1","userId":"u-001","eventType":"purchase","timestamp":1731296325000,"amount":150.75}"#,
        r#"{"timestamp": 1731296325000, "eventType": "view", "userId": "日本", "eventId": "e-2", "receivedAt": 1731296325007}"#,
        r#"{"eventId":"e-3","userId":"2f1b9c1e-0f5e-4f5e-9c1e-0f5e4f5e9c1e","properties":{"duration":5,"list":[1,2,{"a":null}]},"eventType":"view","timestamp":1731296325000,"amount":null,"category":"caf\u00e9 \"x\""}"#,
        r#"{"eventId":"e-4","userId":"u","eventType":"view","timestamp":1731296325000,"category":null,"score":5}"#,
        r#"{"eventId":"e-5","userId":"u","eventType":"view","timestamp":1731296325000,"category":"","score":"5"}"#,
    ] {
        assert_eq!(reader.read_alone(line.as_bytes(), NOW).map_err(|r| r.reason), Ok(true), "{line}");
    }
    assert_eq!(reader.judged(), 0);
}
