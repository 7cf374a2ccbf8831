//! What is written as Parquet comes back as the same events, in the same order.

use super::*;
use crate::event::{Event, Rules, STRING_FIELDS};
use crate::ndjson;
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::io::{Read, Seek, Write};

const NOW: i64 = 1_762_041_600_000;

/// An event as everything that it says: known fields by their values, the others as they stand.
fn said(line: &[u8]) -> String {
    let rules = Rules { event_types: None, reserved: true };
    let event = Event::parse(line, NOW, &rules).expect("valid").expect("not blank");
    let strings: Vec<_> = STRING_FIELDS.iter().map(|name| event.text(name)).collect();
    let others: Vec<_> = event.others().map(|(name, raw)| (name.to_owned(), RawValue::get(raw))).collect();
    let ids = (&event.event_id, &event.user_id, &event.event_type);
    format!("{:?}", (ids, event.timestamp, event.received_at, event.amount, strings, others))
}

fn json(text: &str) -> String {
    let mut out = Vec::new();
    ndjson::push_str(&mut out, text);
    String::from_utf8(out).expect("UTF-8")
}

fn line() -> impl Strategy<Value = String> {
    let text = "[a-c\u{e9}\u{1F600}\"\\\\\n\t=]{0,6}";
    let id = "[a-zA-Z0-9 :{}\u{4e2d}]{1,8}";
    let value = prop_oneof![
        Just("null".to_string()),
        Just("[1, {\"b\" : 1.50}]".to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        text.prop_map(|text| json(&text)),
    ];
    let amount = prop_oneof![
        any::<i64>().prop_map(|n| crate::money::Decimal(n.into()).to_string()),
        Just("-0.0".to_string()),
        Just("1.50e1".to_string()),
    ];
    let strings = proptest::collection::vec(proptest::option::of(text), STRING_FIELDS.len());
    let others = proptest::collection::vec(("[a-z\"]{0,3}|extra|original", value), 0..5);
    let known = (id, id, id, 0i64..100_000, proptest::option::of(0i64..100_000), proptest::option::of(amount));
    (known, strings, others).prop_map(|((event, user, kind, at, received, amount), strings, others)| {
        let mut fields = vec![
            format!("\"eventId\":{}", json(&event)),
            format!("\"userId\":{}", json(&user)),
            format!("\"eventType\":{}", json(&kind)),
            format!("\"timestamp\":{}", NOW - at),
        ];
        fields.extend(received.map(|at| format!("\"receivedAt\":{}", NOW - 100_000 + at)));
        fields.extend(amount.map(|amount| format!("\"amount\":{amount}")));
        for (name, text) in STRING_FIELDS.iter().zip(strings) {
            // An id with a control character is refused.
            let text = text.filter(|text| *name != "tenantId" || !text.contains(['\n', '\t']));
            fields.extend(text.map(|text| format!("\"{name}\":{}", json(&text))));
        }
        // Where they stand among the known ones does not matter; their own order does.
        for (i, (name, value)) in others.into_iter().enumerate() {
            fields.insert(fields.len().min(i * 3), format!("{}:{value}", json(&name)));
        }
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn events_come_back_as_they_were(groups in proptest::collection::vec(proptest::collection::vec(line(), 0..12), 1..4)) {
        let mut writer = Writer::new(tempfile::tempfile().expect("a file")).expect("begun");
        let rules = Rules { event_types: None, reserved: true };
        for group in &groups {
            let mut batch = Batch::default();
            for line in group {
                batch.push(&Event::parse(line.as_bytes(), NOW, &rules).expect("valid").expect("not blank"));
            }
            prop_assert_eq!(batch.rows(), group.len());
            writer.write(batch).expect("written");
        }
        let mut file = writer.finish().expect("whole");
        file.rewind().expect("a file");
        prop_assert!(begins_as_parquet(&file).expect("reads"));
        let mut text = Vec::new();
        Rows::open(file).expect("Parquet").read_to_end(&mut text).expect("reads");
        let back: Vec<String> = text.split_inclusive(|b| *b == b'\n').map(|line| said(line.trim_ascii_end())).collect();
        let want: Vec<String> = groups.iter().flatten().map(|line| said(line.as_bytes())).collect();
        prop_assert_eq!(back, want);
    }
}

#[test]
fn a_batch_is_full_before_it_is_large() {
    let rules = Rules { event_types: None, reserved: true };
    let wide = format!(
        "{{\"eventId\":\"e\",\"userId\":\"u\",\"eventType\":\"c\",\"timestamp\":{NOW},\"x\":\"{}\"}}",
        "y".repeat(200_000)
    );
    let mut batch = Batch::default();
    while !batch.full() {
        batch.push(&Event::parse(wide.as_bytes(), NOW, &rules).expect("valid").expect("not blank"));
    }
    assert!(batch.rows() < 200, "{} rows", batch.rows());
}

#[test]
fn no_flipped_bit_is_a_bug() {
    let rules = Rules { event_types: None, reserved: true };
    let mut writer = Writer::new(tempfile::tempfile().expect("a file")).expect("begun");
    let mut batch = Batch::default();
    for i in 0..40 {
        let other = if i % 3 == 0 { String::new() } else { format!(",\"category\":\"c{i}\",\"x\":{i}") };
        let line = format!("{{\"eventId\":\"e{i}\",\"userId\":\"u\",\"eventType\":\"c\",\"timestamp\":{NOW}{other}}}");
        batch.push(&Event::parse(line.as_bytes(), NOW, &rules).expect("valid").expect("not blank"));
    }
    writer.write(batch).expect("written");
    let (mut file, mut whole) = (writer.finish().expect("whole"), Vec::new());
    file.rewind().and_then(|()| file.read_to_end(&mut whole)).expect("a file");
    let mut told = 0;
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 1 << (at % 8);
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&broken).and_then(|()| file.rewind()).expect("written");
        // Whatever it gives: no panic comes out of it.
        let read = Rows::open(file).and_then(|mut rows| rows.read_to_end(&mut Vec::new()));
        told += usize::from(read.is_err());
        assert!(!is_decoding());
    }
    assert!(told > whole.len() / 3, "{told} of {}", whole.len());
}
