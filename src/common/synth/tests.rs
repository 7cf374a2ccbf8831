//! Synthetic events: the same bytes for ever, and plausible ones.

use super::*;
use crate::event::{Event, Rules};
use siphasher::sip128::SipHasher24;
use std::collections::{HashMap, HashSet};

fn bytes(options: Options) -> Vec<u8> {
    let mut synth = Synth::new(options).expect("in range");
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while synth.fill(&mut block) {
        all.append(&mut block);
    }
    assert!(!synth.fill(&mut all), "the end stays the end");
    all
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.strip_suffix(b"\n").map_or(Vec::new(), |bytes| bytes.split(|b| *b == b'\n').collect())
}

fn parse(line: &[u8]) -> Option<Event<'_>> {
    let now = Options::default().start + 30 * DAY;
    Event::parse(line, now, &Rules::default()).ok().flatten()
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", SipHasher24::new().hash(bytes).as_u128())
}

/// What people have written down must stay: if this goes red, the generator has changed, and it must not.
#[test]
fn a_seed_gives_the_same_bytes_for_ever() {
    let plain = bytes(Options { events: 20_000, users: 1000, seed: 42, ..Options::default() });
    assert_eq!(hash(&plain), "b136f1dd3886f7b60fd4d28e7f4ed1e9");
    let all = Options { jitter: 5000, late: 1.0, duplicates: 1.0, bad: 1.0, ..Options::default() };
    assert_eq!(hash(&bytes(Options { events: 20_000, ..all })), "65006e490cf79e603b7b2cb6d5aabd64");
    assert_ne!(hash(&plain), hash(&bytes(Options { events: 20_000, users: 1000, seed: 43, ..Options::default() })));
}

#[test]
fn the_stream_looks_like_one() {
    let all = bytes(Options { events: 200_000, users: 20_000, ..Options::default() });
    let events: Vec<Event<'_>> = lines(&all).into_iter().map(|line| parse(line).expect("valid")).collect();
    assert_eq!(events.len(), 200_000);
    assert!(events.is_sorted_by_key(|e| e.timestamp));
    let (start, end) = (events[0].timestamp, events[events.len() - 1].timestamp);
    assert!(start - Options::default().start < HOUR && Options::default().start + 7 * DAY - end < HOUR);
    assert_eq!(events.iter().map(|e| &e.event_id).collect::<HashSet<_>>().len(), events.len());

    let mut users: HashMap<&str, u32> = HashMap::new();
    let mut types: HashMap<&str, f64> = HashMap::new();
    let mut hours = [0u32; 24];
    for event in &events {
        *users.entry(&event.user_id).or_default() += 1;
        *types.entry(&event.event_type).or_default() += 100.0 / 200_000.0;
        hours[(event.timestamp.rem_euclid(DAY) / HOUR) as usize] += 1;
    }
    // Zipf at ¾ over 20,000: the first has 2.2 %, and most users are seen.
    let share = users["u-0000001"] as f64 / 2000.0;
    assert!((1.5..3.0).contains(&share), "{share} %");
    assert!((9_000..20_000).contains(&users.len()), "{}", users.len());
    for (name, range) in [
        ("impression", 50.0..70.0),
        ("view", 20.0..35.0),
        ("click", 2.0..6.0),
        ("add_cart", 2.0..6.0),
        ("purchase", 0.8..3.0),
        ("login", 1.0..4.0),
    ] {
        assert!(range.contains(&types[name]), "{name}: {types:?}");
    }
    assert_eq!(types.len(), 6);
    assert!(hours[21] > 8 * hours[4] && hours[20] > hours[12], "{hours:?}");
}

/// Events alone, of users alike: what a benchmark of a million users needs.
#[test]
fn nearly_every_user_comes_where_sessions_are_short_and_users_alike() {
    let few = Options { events: 100_000, users: 20_000, ..Options::default() };
    let (mut shares, mut ordinary) = (Vec::new(), BTreeMap::new());
    for (skew, session) in [(Skew::ThreeQuarters, 8), (Skew::Half, 1), (Skew::Even, 1), (Skew::Even, 3)] {
        let all = bytes(Options { skew, session, ..few.clone() });
        let events: Vec<Event<'_>> = lines(&all).into_iter().map(|line| parse(line).expect("valid")).collect();
        assert_eq!(events.len(), 100_000);
        assert!(events.iter().all(|e| e.raw("sessionId").is_some() == (session > 1)));
        let users: HashSet<&str> = events.iter().map(|e| &*e.user_id).collect();
        shares.push(users.len() as f64 / 20_000.0);
        let mut types: BTreeMap<&str, f64> = BTreeMap::new();
        for event in &events {
            *types.entry(&event.event_type).or_default() += 1.0;
        }
        if session == 8 {
            ordinary = types.into_iter().map(|(name, n)| (name.to_string(), n)).collect();
            continue;
        }
        // The mix of types is that of ordinary sessions; only logins are fewer where a piece has several events.
        let alike = |name: &str, n: f64| (0.8..1.2).contains(&(types[name] / n)) || (name == "login" && session > 1);
        assert!(ordinary.iter().all(|(name, n)| alike(name, *n)), "{types:?} {ordinary:?}");
    }
    // 1 − e⁻⁵ for all alike; three events a session leave 1 − e^(−5/3).
    let want = [0.31..0.60, 0.955..0.975, 0.990..0.996, 0.79..0.84];
    assert!(shares.iter().zip(&want).all(|(share, range)| range.contains(share)), "{shares:?}");
}

#[test]
fn purchases_have_prices_and_sessions_are_minutes_of_one_user() {
    let all = bytes(Options { events: 50_000, users: 5000, ..Options::default() });
    let (mut cents, mut categories) = (0, HashSet::new());
    let mut sessions: HashMap<String, (String, Millis, Millis, u32)> = HashMap::new();
    for event in lines(&all).into_iter().map(|line| parse(line).expect("valid")) {
        let amount = event.amount.map(|d| d.0);
        assert_eq!(amount.is_some(), event.event_type == "purchase");
        assert!(amount.is_none_or(|micros| micros >= 2_000_000 && micros % 10_000 == 0));
        cents += amount.unwrap_or(0) / 10_000;
        categories.extend(event.raw("category").map(|raw| raw.get().to_string()));
        let name = event.raw("sessionId").expect("every event has one").get().to_string();
        let user = event.user_id.to_string();
        let session = sessions.entry(name).or_insert((user.clone(), event.timestamp, event.timestamp, 0));
        assert_eq!(session.0, user);
        (session.2, session.3) = (event.timestamp, session.3 + 1);
    }
    assert!(cents > 1_000_000, "{cents}");
    assert_eq!(categories.len(), session::CATEGORIES.len());
    let mean = 50_000 / sessions.len();
    assert!((5..12).contains(&mean), "{mean}");
    assert!(sessions.values().all(|(_, from, to, _)| to - from < 3 * HOUR));
    let longest = sessions.values().map(|s| s.2 - s.1).sum::<Millis>() / sessions.len() as Millis;
    assert!((MINUTE..20 * MINUTE).contains(&longest), "{longest}");
}

#[test]
fn trouble_moves_and_adds_lines_and_leaves_the_events_alone() {
    let calm = Options { events: 30_000, users: 3000, ..Options::default() };
    let plain = bytes(calm.clone());
    let mut want = lines(&plain);
    want.sort();

    let moved = bytes(Options { jitter: 3000, late: 2.0, ..calm.clone() });
    let mut got = lines(&moved);
    let (mut high, mut late, mut back) = (0, 0, 0);
    for line in &got {
        let at = parse(line).expect("valid").timestamp;
        back += u32::from(at < high);
        late += u32::from(at < high - LATE_MIN / 2);
        high = high.max(at);
    }
    assert!((300..900).contains(&late) && back > 1000, "{late} {back}");
    got.sort();
    assert!(got == want);

    let doubled = bytes(Options { duplicates: 5.0, ..calm.clone() });
    let mut got = lines(&doubled);
    assert!((31_300..31_700).contains(&got.len()), "{}", got.len());
    got.sort();
    got.dedup();
    assert!(got == want);

    let mut synth = Synth::new(Options { bad: 3.0, ..calm }).expect("in range");
    let mut broken = Vec::new();
    while synth.fill(&mut broken) {}
    let (mut got, refused): (Vec<&[u8]>, Vec<&[u8]>) = lines(&broken).into_iter().partition(|l| parse(l).is_some());
    let codes = refused.iter().map(|line| {
        Event::parse(line, Options::default().start + 30 * DAY, &Rules::default()).expect_err("refused").code
    });
    let mut counts: BTreeMap<Code, u64> = BTreeMap::new();
    codes.for_each(|code| *counts.entry(code).or_default() += 1);
    assert_eq!(&counts, synth.defects());
    assert_eq!(counts.len(), 14);
    assert!((800..1000).contains(&refused.len()), "{}", refused.len());
    got.sort();
    assert!(got == want);
}

#[test]
fn the_edges_of_the_options() {
    for events in [0, 1, 2, 7] {
        for users in [1, 2, 10_000_000] {
            let all = bytes(Options { events, users, span: 1, ..Options::default() });
            assert_eq!(lines(&all).len() as u64, events);
        }
    }
    let fine = Options::default;
    for wrong in [
        Options { users: 0, ..fine() },
        Options { session: 0, ..fine() },
        Options { session: 31, ..fine() },
        Options { span: 0, ..fine() },
        Options { start: 5, ..fine() },
        Options { span: Millis::MAX, ..fine() },
        Options { jitter: -1, ..fine() },
        Options { late: 100.5, ..fine() },
        Options { bad: f64::NAN, ..fine() },
    ] {
        assert!(Synth::new(wrong.clone()).is_err(), "{wrong:?}");
    }
}
