//! What is packed comes out as it went in.

use super::*;
use crate::event::{Event, Rules};
use crate::reader::Reader;
use crate::value::Datum;
use proptest::prelude::*;

const NOW: Millis = 1_731_300_000_000;

fn projection() -> Projection {
    let mut projection = Projection::default();
    for (path, ty) in [
        ("timestamp", Type::Datetime),
        ("receivedAt", Type::Datetime),
        ("category", Type::String),
        ("amount", Type::Decimal),
        ("x", Type::Double),
        ("x", Type::Int),
        ("x", Type::Bool),
        ("x", Type::String),
        ("properties.name", Type::String),
        ("properties.other", Type::List(&Type::String)),
        ("x", Type::List(&Type::String)),
    ] {
        projection.slot(Field::new(path, ty));
    }
    projection
}

proptest! {
    #[test]
    fn what_is_packed_and_unpacked_or_pushed_line_by_line_is_the_block_of_the_same_events(
        rows in proptest::collection::vec(
            (
                "[a-zé日]{1,9}", "[a-z0-9]{1,36}", 1_731_200_000_000..NOW, proptest::option::of("[a-z\"\\\\é]{0,9}"),
                proptest::option::of(-1_000_000_000_000i64..1_000_000_000_000),
                proptest::option::of(prop_oneof![Just("true".to_string()), "-?[1-9][0-9]{0,17}", "-?[0-9]\\.[0-9]{1,4}", "\"[a-z]{0,4}\""]),
                proptest::option::of("[a-z]{1,4}"),
            ), 0..40),
    ) {
        let (projection, rules) = (projection(), Rules::default());
        let packing = Packing::new(&projection);
        let mut reader = Reader::new(&projection, &rules);
        let mut packer = Packer::new(&packing, 0);
        let mut packed = packer.start(BytesMut::zeroed(1 << 16));
        let (mut want, mut direct) = (Block::new(&projection), Block::new(&projection));
        for (i, (user, id, timestamp, category, cents, x, tenant)) in rows.iter().enumerate() {
            let mut event = serde_json::json!({"eventId": id, "userId": user, "eventType": "click", "timestamp": timestamp});
            if let Some(category) = category { event["category"] = category.as_str().into(); }
            if let Some(x) = x { event["x"] = serde_json::from_str(x).expect("JSON"); }
            if let Some(tenant) = tenant { event["tenantId"] = tenant.as_str().into(); }
            if i % 2 == 0 { event["properties"] = serde_json::json!({"name": user, "other": [1, user]}); }
            if let Some(cents) = cents { event["amount"] = serde_json::from_str(&format!("{}.{:02}", cents / 100, cents.abs() % 100)).expect("JSON"); }
            let line = event.to_string();
            prop_assert_eq!(reader.read_alone(line.as_bytes(), NOW).map_err(|r| r.reason), Ok(true));
            prop_assert!(packer.room(reader.line(), line.len()) <= packed.free());
            let before = packed.free();
            packer.push(&mut packed, reader.line(), reader.spare());
            prop_assert!(before - packed.free() <= packer.room(reader.line(), line.len()) - STEP);
            direct.push_line(reader.line(), reader.spare());
            let event = Event::parse(line.as_bytes(), NOW, &rules).expect("valid").expect("not blank");
            want.push(&event, &projection);
        }
        let again = packed.again(BytesMut::from(packed.written()));
        let other = Packer::new(&packing, 1);
        let words = [packer.finish(), other.finish()];
        let mut unpacker = Unpacker::new(&projection, &packing, &words);
        // What a block held before must not show, whoever wrote it.
        unpacker.unpack(&Packed { writer: 1, ..Packed::default() });
        unpacker.unpack(&packed);
        let block = unpacker.unpack(&again);
        for slot in 0..projection.fields.len() {
            let column = block.column(slot);
            for (i, j) in (0..block.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                let alike = column.datum(i) == column.datum(j) && column.present[i];
                prop_assert!(!column.distinct || !alike || column.words[i] == column.words[j]);
            }
        }
        for block in [&*block, &direct] {
            prop_assert_eq!(block.len(), want.len());
            for i in 0..want.len() {
                prop_assert_eq!(block.identity(i), want.identity(i));
                prop_assert_eq!((block.tenant(i), block.user(i), block.event_id(i)), (want.tenant(i), want.user(i), want.event_id(i)));
                prop_assert_eq!(block.timestamp(i), want.timestamp(i));
                for slot in 0..projection.fields.len() {
                    prop_assert_eq!(block.datum(slot, i), want.datum(slot, i), "row {} slot {}", i, slot);
                }
            }
        }
    }
}

#[test]
fn a_row_finds_room_also_when_its_ids_are_fields_too() {
    let mut projection = Projection::default();
    for path in ["userId", "eventId", "x"] {
        projection.slot(Field::new(path, Type::String));
    }
    let (packing, mut reader) = (Packing::new(&projection), Reader::new(&projection, &Rules::default()));
    for (long, unwanted) in [(10, 0), (900, 0), (900, 100_000)] {
        let [user, event, text, other] = [256, 128, long, unwanted].map(|len| "7".repeat(len));
        let line = format!(
            r#"{{"userId":"{user}","eventId":"{event}","timestamp":1731296325000,"eventType":"view","x":"{text}","y":"{other}"}}"#
        );
        assert_eq!(reader.read_alone(line.as_bytes(), NOW).map_err(|r| r.reason), Ok(true));
        let mut packer = Packer::new(&packing, 0);
        let room = packer.room(reader.line(), line.len());
        assert!(room < 2500, "what nobody wants needs no room: {room}");
        let mut packed = packer.start(BytesMut::zeroed(room));
        packer.push(&mut packed, reader.line(), reader.spare());
        let words = [packer.finish()];
        let mut unpacker = Unpacker::new(&projection, &packing, &words);
        let block = unpacker.unpack(&packed);
        assert_eq!((block.user(0), block.event_id(0)), (&*user, &*event));
        for (slot, want) in [&user, &event, &text].into_iter().enumerate() {
            assert_eq!(block.datum(slot, 0), Datum::Str(want));
        }
    }
}
