//! Values of a live state in a store: they fall with time alone, and an instant that is over is refused.

use crate::store::AS_OF;
use crate::support::Dir;
use adprof::engine::dedup::Horizon;
use adprof::engine::live::{Live, Telling};
use adprof::engine::plan::Plan;
use adprof::event::{Event, Rules};
use adprof::key::Key;
use adprof::ledger::Ledger;
use adprof::profiles::{AsOf, Profiles};
use adprof::rows::Block;
use adprof::store::embedded::Changes;
use adprof::store::{Embedded, Error, Kind, Location};
use adprof::tag::Definitions;
use std::sync::Arc;

const LIVE: &str = r#"
[[tag]]
code = "clicks_5s"
value = "count(*)"
where = "eventType = 'click'"
window = "5s"
[[tag]]
code = "last_seen"
value = "max(timestamp)"
[[tag]]
code = "active"
value = "as_of() - last_seen < 5000"
"#;

/// A stream's work in small: events folded and committed as a checkpoint.
struct Stream {
    live: Live,
    ledger: Ledger,
    store: Embedded,
}

impl Stream {
    fn start(dir: &Dir) -> Stream {
        let definitions = Arc::new(Definitions::parse(LIVE, "live.toml").expect("well formed"));
        let plan = Arc::new(Plan::new(definitions, &[0, 1, 2]));
        let mut ledger = Ledger::new("test".into(), [1, 2]);
        ledger.number(&plan.clone().into(), 0);
        let numbers = ledger.numbers_of(&plan).into_iter().map(|n| n.expect("numbered")).collect();
        let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
        let horizon = Horizon { span: 86_400_000, ids: 1000 };
        let mut live = Live::new(plan, Telling::Drained, horizon, [1, 2]);
        live.number(vec![numbers]);
        Stream { live, ledger, store }
    }

    /// Takes clicks of u-001 at these instants and makes a checkpoint.
    fn take(&mut self, clicks: &[i64]) {
        let plan = self.live.plans()[0].clone();
        let mut block = Block::new(&plan.definitions.projection);
        for (i, ts) in clicks.iter().enumerate() {
            let line = format!(r#"{{"eventId":"e{ts}-{i}","userId":"u-001","timestamp":{ts},"eventType":"click"}}"#);
            let event = Event::parse(line.as_bytes(), *ts, &Rules::default()).expect("valid").expect("not blank");
            block.push(&event, &plan.definitions.projection);
        }
        for i in 0..block.len() {
            self.live.advance(block.timestamp(i), &mut Vec::new());
            self.live.push(&block, i, &mut Vec::new());
        }
        self.ledger.progress.newest = self.live.newest();
        let mut states: Vec<(Key, Option<Vec<u8>>)> = Vec::new();
        self.live.save(|key, state| {
            states.push((key.clone(), Some(state.expect("users are not forgotten").to_vec())));
        });
        let (progress, numbering) = (self.ledger.progress(), self.ledger.numbering());
        let meta: Vec<(&str, Option<&[u8]>)> =
            [&progress, &numbering[0], &numbering[1]].map(|(name, bytes)| (*name, Some(&bytes[..]))).to_vec();
        let mut owner = self.store.begin_owner("a test").expect("owned");
        owner.commit(Changes { at: self.live.newest(), states, meta: &meta, ids: &[] }).expect("committed");
    }
}

#[test]
fn a_count_falls_to_zero_at_its_instant_though_no_stream_runs() {
    let dir = Dir::new();
    // Whole seconds, so that panes begin where the clicks are.
    let start = AS_OF - AS_OF % 1000;
    Stream::start(&dir).take(&[start, start + 2_500, start + 2_999]);
    // An event counts at t when ts ≤ t < floor(ts, 1 s) + 5 s.
    for (after, clicks, active) in [
        (2_999, 3, true),
        (4_999, 3, true),
        (5_000, 2, true),
        (6_999, 2, true),
        (7_000, 0, true),
        (7_998, 0, true),
        (7_999, 0, false),
        (86_400_000, 0, false),
    ] {
        let t = (start + after).to_string();
        let out = dir.adprof("query u-001 --as-of").arg(&t).ok();
        let want = format!(
            "{{\"userId\":\"u-001\",\"asOf\":{t},\"tags\":{{\"clicks_5s\":{clicks},\"last_seen\":{},\"active\":{active}}}}}\n",
            start + 2_999
        );
        assert_eq!(out, want, "{after} ms after the first click");
        let size = dir.adprof_args(["segment", "size", "--where", "clicks_5s > 0", "--as-of", &t]).ok();
        assert_eq!(size, if clicks > 0 { "1\n" } else { "0\n" });
        let rule = "as_of() - last_seen < 5000";
        let size = dir.adprof_args(["segment", "size", "--where", rule, "--as-of", &t]).ok();
        assert_eq!(size, if active { "1\n" } else { "0\n" });
    }
    let now = dir.adprof("query u-001 --tags clicks_5s").ok();
    assert!(now.ends_with("\"tags\":{\"clicks_5s\":0}}\n"), "{now}");
    let table = dir.adprof("query u-001 --format table").ok();
    assert!(
        table.lines().next().is_some_and(|head| head.contains(", live values as of its last checkpoint, ")),
        "{table}"
    );
}

#[test]
fn an_instant_before_the_newest_event_is_refused_with_a_hint_at_batch() {
    let dir = Dir::new();
    Stream::start(&dir).take(&[AS_OF, AS_OF + 1]);
    let out = dir.adprof("query u-001 --as-of").arg(AS_OF.to_string()).exits(2);
    assert_eq!(out.stdout, "");
    assert_eq!(
        out.stderr,
        "adprof query: the state has absorbed events up to 2024-11-11T03:38:45.001Z and cannot go back to \
         2024-11-11T03:38:45.000Z\nhint: the log can: adprof batch --tags all --as-of 1731296325000\n"
    );
    for args in [["segment", "size", "--where", "active"].as_slice(), &["export"]] {
        dir.adprof_args(args.iter().copied()).arg("--as-of").arg(AS_OF.to_string()).exits(2);
    }
}

#[test]
fn a_stream_that_passes_the_instant_while_it_is_read_is_noticed() {
    let dir = Dir::new();
    let mut stream = Stream::start(&dir);
    stream.take(&[AS_OF]);
    let location = Location::Embedded(dir.file("adprof-store"));
    let mut profiles = Profiles::open(&location, None, AsOf::At(AS_OF)).expect("opened");
    let keys = [Key::user("", "u-001")];
    assert!(profiles.get_many(&keys).is_ok());
    stream.take(&[AS_OF + 1]);
    let error = profiles.get_many(&keys).expect_err("the state has gone on");
    assert_eq!(error.kind, Kind::Usage);
    let error = profiles.scan(0, |_| Ok::<(), Error>(())).expect_err("the state has gone on");
    assert!(error.message.contains("cannot go back"), "{error}");
}
