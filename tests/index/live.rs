//! Live values: what falls with time alone is never answered by columns of before, and no write goes unmarked.

use crate::laws::open;
use crate::random::Random;
use crate::support::Dir;
use crate::{agree, by_index};
use adprof::engine::dedup::Horizon;
use adprof::engine::live::{Live, Telling};
use adprof::engine::plan::Plan;
use adprof::event::{Event, Rules};
use adprof::key::Key;
use adprof::ledger::Ledger;
use adprof::profiles::AsOf;
use adprof::rows::Block;
use adprof::segment::{Rule, audience};
use adprof::store::Embedded;
use adprof::store::embedded::Changes;
use adprof::tag::{Definitions, Update};
use std::sync::Arc;

const LIVE: &str = r#"
[[tag]]
code = "clicks_5s"
value = "count(*)"
where = "eventType = 'click'"
window = "5s"
[[tag]]
code = "spent_1m"
value = "sum(amount)"
window = "1m"
[[tag]]
code = "last_seen"
type = "datetime"
value = "max(timestamp)"
[[tag]]
code = "active"
value = "as_of() - last_seen < 5000"
[[tag]]
code = "phase"
value = "(as_of() - last_seen) % 3"
[[tag]]
code = "favourite"
value = "last(category)"
window = "10s"
[[tag]]
code = "tier"
type = "string"
update = "import"
"#;

const START: i64 = 1_731_296_325_000 - 1_731_296_325_000 % 60_000;

/// A stream's work in small: events folded and committed as a checkpoint.
struct Stream {
    live: Live,
    ledger: Ledger,
    store: Embedded,
    events: usize,
}

impl Stream {
    fn start(dir: &Dir) -> Stream {
        Stream::of(dir, LIVE)
    }

    fn of(dir: &Dir, definitions: &str) -> Stream {
        let definitions = Arc::new(Definitions::parse(definitions, "live.toml").expect("well formed"));
        let plan = Arc::new(Plan::live(definitions.clone(), &definitions.by_update(Update::Realtime)));
        let mut ledger = Ledger::new("test".into(), [1, 2]);
        ledger.number(&plan.clone().into(), 0);
        let numbers = ledger.numbers_of(&plan).into_iter().map(|n| n.expect("numbered")).collect();
        let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
        let mut live = Live::new(plan, Telling::Drained, Horizon { span: 86_400_000, ids: 10_000 }, [1, 2]);
        live.number(vec![numbers]);
        Stream { live, ledger, store, events: 0 }
    }

    /// Takes events of users at these instants, in their order, and makes a checkpoint.
    fn take(&mut self, random: &mut Random, events: &[(u64, i64)]) {
        let plan = self.live.plans()[0].clone();
        let mut block = Block::new(&plan.definitions.projection);
        for (user, ts) in events {
            self.events += 1;
            let line = format!(
                r#"{{"eventId":"e{}","userId":"u-{user:03}","timestamp":{ts},"eventType":"{}","category":"{}","amount":{}.5}}"#,
                self.events,
                random.pick(&["click", "view"]),
                random.pick(&["sports", "books"]),
                random.below(9)
            );
            let event = Event::parse(line.as_bytes(), *ts, &Rules::default()).expect("valid").expect("not blank");
            block.push(&event, &plan.definitions.projection);
        }
        for i in 0..block.len() {
            self.live.advance(block.timestamp(i), &mut Vec::new());
            self.live.push(&block, i, &mut Vec::new());
        }
        self.ledger.progress.newest = self.live.newest();
        let mut states: Vec<(Key, Option<Vec<u8>>)> = Vec::new();
        self.live.save(|key, state| states.push((key.clone(), state.map(<[u8]>::to_vec))));
        let (progress, numbering) = (self.ledger.progress(), self.ledger.numbering());
        let meta: Vec<(&str, Option<&[u8]>)> =
            [&progress, &numbering[0], &numbering[1]].map(|(name, bytes)| (*name, Some(&bytes[..]))).to_vec();
        let mut owner = self.store.begin_owner("a test").expect("owned");
        owner.commit(Changes { at: self.live.newest(), states, meta: &meta, ids: &[] }).expect("committed");
    }
}

const RULES: [&str; 12] = [
    "clicks_5s > 0",
    "clicks_5s = 0",
    "NOT clicks_5s >= 2 AND active",
    "active",
    "NOT active",
    "spent_1m >= 5.5 OR favourite = 'sports'",
    "favourite IS NULL",
    "last_seen > ago('20s') AND NOT last_seen > ago('4s')",
    "as_of() - last_seen < 5000",
    "phase = 1 AND clicks_5s > 0",
    "phase IS NOT NULL",
    "tier = 'gold' AND NOT favourite = 'books'",
];

#[test]
fn at_every_instant_before_and_after_values_fall_the_index_finds_whom_a_scan_finds() {
    let (dir, mut random) = (Dir::new(), Random::new(5));
    let mut stream = Stream::start(&dir);
    let events = |random: &mut Random, from: i64| {
        let mut events: Vec<(u64, i64)> =
            (0..60).map(|_| (random.below(80), from + random.below(8_000) as i64)).collect();
        events.sort_by_key(|(_, ts)| *ts);
        events
    };
    let first = events(&mut random, START);
    stream.take(&mut random, &first);
    let tiers: Vec<String> =
        (0..40).map(|i| format!(r#"{{"userId":"u-{:03}","asOf":{START},"tags":{{"tier":"gold"}}}}"#, i * 3)).collect();
    crate::store::fill(&dir, &tiers.iter().map(String::as_str).collect::<Vec<_>>());
    let newest = stream.live.newest();
    open(&dir, LIVE, AsOf::Now(newest)).build_index(0, false, &mut |_| ()).expect("built");
    let mut clean = 0;
    let mut everywhere = |dir: &Dir, from: i64, when: &str| {
        for step in 0..45 {
            // Panes end at whole seconds: right before, at and after them.
            let t = from + [0, 1, 999, 1000, 1001][step % 5] + (step as i64 / 5) * 3_000;
            let mut profiles = open(dir, LIVE, AsOf::At(t));
            for sql in RULES {
                let rule = Rule::from_sql(sql, "test", profiles.definitions()).expect("well formed");
                let looked_up = agree(&mut profiles, &rule, &format!("{when}, {} ms on", t - from));
                clean += usize::from(looked_up == 0);
            }
        }
    };
    everywhere(&dir, newest, "built");
    let second = events(&mut random, newest + 1);
    stream.take(&mut random, &second);
    let newest = stream.live.newest();
    everywhere(&dir, newest, "after a checkpoint");
    open(&dir, LIVE, AsOf::Now(newest)).build_index(0, false, &mut |_| ()).expect("built");
    everywhere(&dir, newest, "refreshed");
    assert!(clean > 0, "the columns are never trusted");
}

#[test]
fn only_what_has_fallen_is_looked_up() {
    let (dir, mut random) = (Dir::new(), Random::new(6));
    let mut stream = Stream::start(&dir);
    stream.take(&mut random, &[(1, START), (2, START + 30_000)]);
    let newest = START + 30_000;
    open(&dir, LIVE, AsOf::Now(newest)).build_index(0, false, &mut |_| ()).expect("built");
    let looked_up = |t: i64| {
        let profiles = open(&dir, LIVE, AsOf::At(t));
        let rule = Rule::from_sql("spent_1m > 0", "test", profiles.definitions()).expect("well formed");
        by_index(&profiles, &rule).expect("an index").1
    };
    // u-002 was active until 4,999 ms after her last event; the amounts of u-001 are over after a minute.
    assert_eq!([0, 4_999, 5_000, 29_999].map(|after| looked_up(newest + after)), [0, 0, 1, 1]);
    assert_eq!(looked_up(newest + 30_000), 2);
}

#[test]
fn an_index_made_before_the_newest_event_is_right_as_of_then_and_later() {
    let (dir, mut random) = (Dir::new(), Random::new(8));
    let mut stream = Stream::start(&dir);
    let mut events: Vec<(u64, i64)> = (0..80).map(|_| (random.below(40), START + random.below(9_000) as i64)).collect();
    events.sort_by_key(|(_, ts)| *ts);
    stream.take(&mut random, &events);
    let newest = stream.live.newest();
    // A clock that is behind the events: they are counted at once.
    open(&dir, LIVE, AsOf::Now(newest - 4_000)).build_index(0, false, &mut |_| ()).expect("built");
    for t in (newest - 6_000..newest + 12_000).step_by(499) {
        let mut profiles = open(&dir, LIVE, AsOf::Now(t));
        for sql in RULES {
            let rule = Rule::from_sql(sql, "test", profiles.definitions()).expect("well formed");
            agree(&mut profiles, &rule, &format!("{} ms after the newest event", t - newest));
        }
    }
}

const WILD: &str = r#"
[[tag]]
code = "favourite"
value = "last(category)"
window = "10s"
[[tag]]
code = "even"
value = "CASE WHEN CAST(as_of() AS BIGINT) % 2000 < 1000 THEN 1 END"
"#;

#[test]
fn a_profile_that_comes_and_goes_with_the_clock_alone_is_looked_up() {
    let (dir, mut random) = (Dir::new(), Random::new(9));
    let mut stream = Stream::of(&dir, WILD);
    stream.take(&mut random, &[(1, START), (2, START + 500)]);
    for built in [20_000, 21_000] {
        // Nothing is left but the one tag, which is there in one second and not in the next.
        let made = open(&dir, WILD, AsOf::Now(START + built)).build_index(0, true, &mut |_| ()).expect("built");
        assert_eq!(made.keys, 2);
        let mut seen = Vec::new();
        for t in [20_000, 21_000, 21_999, 22_000, 23_500] {
            let mut profiles = open(&dir, WILD, AsOf::At(START + t));
            let rule = Rule::from_sql("favourite IS NULL", "test", profiles.definitions()).expect("well formed");
            agree(&mut profiles, &rule, &format!("made after {built} ms, asked after {t}"));
            seen.push(by_index(&profiles, &rule).expect("an index").0.all);
        }
        assert_eq!(seen, [2, 0, 0, 2, 0]);
    }
}

#[test]
fn an_audience_as_of_an_instant_that_the_state_has_gone_past_is_not_built() {
    let (dir, mut random) = (Dir::new(), Random::new(10));
    let mut stream = Stream::start(&dir);
    stream.take(&mut random, &[(1, START), (2, START + 500)]);
    let profiles = open(&dir, LIVE, AsOf::At(START + 600));
    profiles.build_index(0, false, &mut |_| ()).expect("built");
    let rule = Rule::from_sql("active", "test", profiles.definitions()).expect("well formed");
    let build = || audience::build(&profiles, "awake", &rule, 0);
    assert_eq!(build().expect("built").expect("an index").size, 2);
    stream.take(&mut random, &[(3, START + 700)]);
    profiles.build_index(0, false, &mut |_| ()).expect("built");
    let error = build().expect_err("refused");
    assert!(error.message.contains("cannot go back"), "{error}");
    let snapshot = stream.store.snapshot().expect("a snapshot");
    let history = audience::history(snapshot.index().expect("read"), "awake").expect("read");
    assert_eq!(history.len(), 1);
}

#[test]
fn a_store_with_an_index_is_of_a_format_of_its_own() {
    let (dir, mut random) = (Dir::new(), Random::new(7));
    Stream::start(&dir).take(&mut random, &[(1, START)]);
    assert_eq!(dir.read("adprof-store/FORMAT"), "adprof store, format 3\n");
    open(&dir, LIVE, AsOf::Now(START)).build_index(0, false, &mut |_| ()).expect("built");
    assert_eq!(dir.read("adprof-store/FORMAT"), "adprof store, format 4\n");
}
