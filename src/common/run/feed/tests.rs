//! The feed against a twin that splits and judges line by line: rows, counts, letters and their places.

use super::*;
use crate::event::Event;
use crate::lines::tests::Trickle;
use crate::rows::Field;
use crate::value::Type;
use crossbeam_channel::unbounded;
use proptest::prelude::*;

const NOW: Millis = 1_731_300_000_000;
const UNTIL: Millis = NOW - 1000;

fn parser() -> Parser {
    let mut projection = Projection::default();
    for (path, ty) in [("category", Type::String), ("amount", Type::Decimal), ("properties.n", Type::Int)] {
        projection.slot(Field::new(path, ty));
    }
    Parser { projection, rules: Rules::default(), now: || NOW, until: Some(UNTIL), plans: None, by_day: true }
}

/// What came, parcels put together: rows, `consumed` and `outside`, letters.
#[derive(Default, PartialEq, Debug)]
struct Seen {
    rows: Vec<String>,
    counts: (u64, u64),
    letters: Vec<String>,
}

impl Seen {
    fn row(&mut self, block: &Block, i: usize) {
        let head = (block.tenant(i), block.user(i), block.event_id(i), block.timestamp(i), block.day(i));
        let fields: Vec<_> = (0..3).map(|slot| block.datum(slot, i)).collect();
        self.rows.push(format!("{head:?} {fields:?}"));
    }

    fn letter(&mut self, refusal: &Refusal, line: u64, offset: u64, original: &[u8], truncated: Option<u64>) {
        let shown = String::from_utf8_lossy(original);
        self.letters.push(format!("{line} {offset} {} {refusal} {truncated:?} {shown}", refusal.code.name()));
    }
}

fn fed(input: &[u8], step: usize) -> Seen {
    let (out, news) = unbounded();
    lines(Trickle(input, step), &parser(), &out);
    drop(out);
    let (mut seen, mut ended) = (Seen::default(), false);
    for news in news {
        assert!(!ended, "nothing follows the end");
        match news {
            News::Parcel(parcel) => {
                assert!(parcel.block.len() + parcel.letters.len() <= ROWS);
                (0..parcel.block.len()).for_each(|i| seen.row(&parcel.block, i));
                seen.counts.0 += parcel.consumed;
                seen.counts.1 += parcel.outside;
                for Letter { refusal, place, original, truncated } in &parcel.letters {
                    let Place::Line { line, offset } = place else { panic!("a line has a line's place") };
                    seen.letter(refusal, *line, *offset, original, *truncated);
                }
            }
            News::End => ended = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(ended);
    seen
}

fn twin(input: &[u8]) -> Seen {
    let parser = parser();
    let (mut seen, mut block, mut offset) = (Seen::default(), Block::new(&parser.projection), 0);
    for (i, piece) in input.split_inclusive(|b| *b == b'\n').enumerate() {
        let line = piece.strip_suffix(b"\n").unwrap_or(piece);
        match Event::parse(line, NOW, &parser.rules) {
            Ok(None) => {}
            Ok(Some(event)) => {
                seen.counts.0 += 1;
                if event.timestamp > UNTIL {
                    seen.counts.1 += 1;
                } else {
                    block.clear();
                    block.push(&event, &parser.projection);
                    block.received_on(utc_day(event.received_at.unwrap_or(NOW)));
                    seen.row(&block, 0);
                }
            }
            Err(refusal) => {
                seen.counts.0 += 1;
                let long = line.len() > crate::limits::LINE_MAX;
                let original = if long { &line[..crate::lines::HEAD_MAX] } else { line };
                seen.letter(&refusal, i as u64 + 1, offset, original, long.then_some(line.len() as u64));
            }
        }
        offset += piece.len() as u64;
    }
    seen
}

fn line() -> impl Strategy<Value = String> {
    let blank = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\t"), 1 => Just("\r")];
    let event = (0..50u32, "[a-zé]{1,6}", NOW - 5000..NOW + 1000, "[a-z\"é]{0,5}", blank(), blank()).prop_map(
        |(id, user, at, category, before, after)| {
            let category = serde_json::json!(category);
            format!(
                r#"{before}{{"eventId":"e{id}","userId":"{user}","eventType":"click","timestamp":{at},"category":{category},"properties":{{"n":{id}}}}}{after}"#
            )
        },
    );
    prop_oneof![
        12 => event,
        1 => blank().prop_map(str::to_string),
        1 => Just("{}".to_string()),
        1 => Just("no event".to_string()),
        1 => Just(format!("{{\"eventId\":\"{}\"}}", "x".repeat(crate::limits::LINE_MAX))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn lines_become_what_they_are_one_by_one(
        lines in proptest::collection::vec(line(), 0..30),
        ended: bool,
        step in prop_oneof![1usize..60, 4096..1_000_000usize],
    ) {
        let mut input = lines.join("\n").into_bytes();
        input.extend_from_slice(if ended { b"\n" } else { b"" });
        prop_assert_eq!(fed(&input, step), twin(&input));
    }
}

#[test]
fn a_parcel_is_sent_when_it_is_full_and_nothing_is_lost() {
    let event = |i: u32| {
        let at = NOW - 5000 + i64::from(i % 4500);
        format!(r#"{{"eventId":"e{i}","userId":"u{}","eventType":"view","timestamp":{at}}}"#, i % 7) + "\n"
    };
    let input: String = (0..20_000).map(|i| if i % 100 == 0 { "bad\n".into() } else { event(i) }).collect();
    assert_eq!(fed(input.as_bytes(), usize::MAX), twin(input.as_bytes()));
}

/// An input that waits: after each line it looks whether its parcel is there already.
struct Slow<'a> {
    lines: Vec<&'a [u8]>,
    given: usize,
    news: Receiver<News>,
}

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given > 0 {
            let News::Parcel(parcel) = self.news.try_recv().expect("a line read is a parcel sent") else {
                panic!("a parcel");
            };
            assert_eq!(parcel.consumed, 1);
        }
        let Some(line) = self.lines.get(self.given) else { return Ok(0) };
        self.given += 1;
        out[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }
}

#[test]
fn a_slow_input_is_not_held_back() {
    let (out, news) = unbounded();
    let good = br#"{"eventId":"e","userId":"u","eventType":"view","timestamp":1731296325000}"#;
    let good = [&good[..], b"\n"].concat();
    lines(Slow { lines: vec![&good, b"bad\n", &good], given: 0, news: news.clone() }, &parser(), &out);
    assert!(matches!(news.try_recv(), Ok(News::Parcel(last)) if last.consumed == 0));
    assert!(matches!(news.try_recv(), Ok(News::End)));
}

#[test]
fn messages_are_rows_by_batch_with_their_keys_compared() {
    use crate::bus::Message;
    let event = |user: &str, at: Millis| {
        format!("{{\"eventId\":\"e\",\"userId\":\"{user}\",\n\"eventType\":\"view\",\"timestamp\":{at}}}")
    };
    let (one, two, late) = (event("u", 1_731_296_325_000), event("v", 1_731_296_325_001), event("u", NOW));
    let cases: [(Option<&str>, Option<&str>); 7] = [
        (Some("u"), Some(&one)),
        (Some("u"), Some(&two)),
        (None, Some(&one.replace('\n', ""))),
        (Some("u"), Some(&late)),
        (Some("u"), None),
        (Some("u"), Some("")),
        (Some("u"), Some("bad\n")),
    ];
    let mut batch = Batch::new(3);
    for (offset, (key, payload)) in (10..).zip(cases) {
        let (key, payload) = (key.map(str::as_bytes), payload.map(str::as_bytes));
        batch.push(&Message { offset, timestamp: None, key, payload });
    }
    let (out, news) = unbounded();
    let (give, deliveries) = unbounded();
    give.send(Ok(Bus::Batch(batch))).expect("open");
    give.send(Ok(Bus::End)).expect("open");
    messages(&deliveries, &parser(), &out);
    let Ok(News::Parcel(parcel)) = news.try_recv() else { panic!("a parcel") };
    let users: Vec<&str> = (0..parcel.block.len()).map(|i| parcel.block.user(i)).collect();
    assert_eq!(users, ["u", "v", "u"]);
    assert_eq!((parcel.consumed, parcel.unkeyed, parcel.outside), (7, 2, 1));
    let letters: Vec<(Code, i64, &[u8])> = parcel
        .letters
        .iter()
        .map(|letter| match letter.place {
            Place::Message { partition: 3, offset } => (letter.refusal.code, offset, &letter.original[..]),
            _ => panic!("a message has a message's place"),
        })
        .collect();
    assert_eq!(letters, [(Code::NullValue, 14, &b""[..]), (Code::NotJson, 15, b""), (Code::NotJson, 16, b"bad\n")]);
    assert!(matches!(news.try_recv(), Ok(News::End)));
}
