//! The laws of windows. Calendar windows are compared with a plain function over jiff's civil dates.

use super::*;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, db};
use proptest::prelude::*;
use proptest::sample::select;

/// Whether an event at `ts` counts at `t`, given how far a window reaches.
fn law_holds(window: Window, ts: Millis, t: Millis, law: bool) -> Result<(), TestCaseError> {
    prop_assert_eq!(window.pane(ts) >= window.oldest(t), law, "{:?}: {} at {}", window, ts, t);
    prop_assert_eq!(t < window.expiry(window.pane(ts)), law, "{:?}: {} at {}", window, ts, t);
    prop_assert_eq!(ts >= window.since(t), law, "{:?}: {} at {}", window, ts, t);
    Ok(())
}

/// The local day of an instant: the date on the clock, or the one after it where that has begun and the clocks were
/// put back across midnight.
fn date(tz: &TimeZone, ts: Millis) -> Date {
    let instant = Timestamp::from_millisecond(ts).expect("in range");
    let on_the_clock = tz.to_datetime(instant).date();
    let next = on_the_clock.tomorrow().expect("in range");
    let begins = next.to_zoned(tz.clone()).expect("in range").timestamp();
    if begins <= instant { next } else { on_the_clock }
}

fn number_of(unit: Unit, date: Date) -> i64 {
    let days = |date: Date| i64::from((date - jiff::civil::date(1970, 1, 1)).get_days());
    match unit {
        Unit::Day => days(date),
        Unit::Week => (days(date) - i64::from(date.weekday().to_monday_zero_offset()) + 3) / 7,
        Unit::Month => i64::from(date.year()) * 12 + i64::from(date.month()) - 1970 * 12 - 1,
    }
}

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Casablanca",
    "America/Havana",
    "Asia/Gaza",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Antarctica/Casey",
];

/// Instants of 1970 to 2100: any, or some milliseconds from a change of the zone's clocks or from a midnight near it.
fn instant(zone: &'static str) -> impl Strategy<Value = Millis> {
    const LAST: Millis = 4_102_444_800_000;
    let tz = TimeZone::get(zone).expect("known");
    let changes = tz.following(Timestamp::UNIX_EPOCH).take_while(|change| change.timestamp().as_millisecond() < LAST);
    let mut edges: Vec<Millis> = vec![DAY];
    for change in changes {
        let midnights = (-1..=2).filter_map(|days| {
            let day = tz.to_datetime(change.timestamp()).date().checked_add(jiff::Span::new().days(days)).ok()?;
            Some(day.to_zoned(tz.clone()).ok()?.timestamp().as_millisecond())
        });
        edges.extend(midnights.chain([change.timestamp().as_millisecond()]));
    }
    prop_oneof![0..LAST, (select(edges), -2i64..=2).prop_map(|(edge, off)| (edge + off).max(0))]
}

proptest! {
    #[test]
    fn an_event_counts_from_its_instant_until_its_pane_plus_the_span(
        ts in 0i64..10_000_000, ahead in 0i64..10_000_000, panes in 1i64..100, resolution in 1i64..100_000,
    ) {
        let span = panes * resolution;
        let t = ts + ahead;
        law_holds(Window::sliding(span, resolution), ts, t, t < ts - ts % resolution + span)?;
    }

    #[test]
    fn an_event_counts_in_its_own_local_day_week_or_month_and_the_next_ones(
        (zone, ts) in select(&ZONES[..]).prop_flat_map(|zone| (Just(zone), instant(zone))),
        ahead in prop_oneof![0i64..4 * HOUR, 0i64..3 * DAY, 0i64..100 * DAY],
        unit in select(&Unit::ALL[..]),
        number in prop_oneof![Just(1i64), 1i64..5],
    ) {
        let (window, tz) = (Window::calendar(unit, number, Zone::get(zone).expect("known")), TimeZone::get(zone).expect("known"));
        let t = ts + ahead;
        let (first, last) = (number_of(unit, date(&tz, ts)), number_of(unit, date(&tz, t)));
        prop_assert_eq!(window.pane(ts), first);
        law_holds(window, ts, t, last - first < number)?;
        // And at the very instants around the one at which it is over.
        let over = window.expiry(window.pane(ts));
        for t in [over - 1, over, over + 1].into_iter().filter(|t| *t >= ts) {
            law_holds(window, ts, t, number_of(unit, date(&tz, t)) - first < number)?;
        }
    }

    #[test]
    fn days_weeks_and_months_are_those_of_the_calendar(days in -700_000i64..2_900_000) {
        let utc = Zone::get("UTC").expect("known");
        let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
        for unit in Unit::ALL {
            let window = Window::calendar(unit, 1, utc);
            let number = window.pane(days * DAY);
            if days >= 0 {
                prop_assert_eq!(number, number_of(unit, date));
            }
            let first = match unit {
                Unit::Day => date,
                Unit::Week => date - jiff::Span::new().days(date.weekday().to_monday_zero_offset()),
                Unit::Month => date.first_of_month(),
            };
            prop_assert_eq!(window.start(number), first.to_zoned(TimeZone::UTC).expect("in range").timestamp().as_millisecond());
        }
    }

    #[test]
    fn no_instant_is_too_far_away(zone in select(&ZONES[..]), unit in select(&Unit::ALL[..]), number in 1i64..=10_000, far: i64) {
        let window = Window::calendar(unit, number, Zone::get(zone).expect("known"));
        for instant in [i64::MIN, i64::MIN + 2 * DAY, far, i64::MAX - 2 * DAY, i64::MAX] {
            let (pane, since) = (window.pane(instant), window.since(instant));
            prop_assert!(window.oldest(instant) <= pane && window.start(pane) <= window.expiry(pane));
            // Within the last hours of all numbers there is no room for a time zone.
            prop_assert!(since <= instant || instant == i64::MIN);
        }
    }
}

/// The local midnights around nights on which clocks change, as the tables of the zones have them.
#[test]
fn a_day_ends_at_midnight_whatever_the_clocks_do() {
    for (zone, midnights) in [
        // 23 and 25 hours.
        ("Europe/Berlin", &["2026-03-28T23:00Z", "2026-03-29T22:00Z", "2026-03-30T22:00Z"][..]),
        ("Europe/Berlin", &["2026-10-24T22:00Z", "2026-10-25T23:00Z", "2026-10-26T23:00Z"]),
        ("America/New_York", &["2026-03-08T05:00Z", "2026-03-09T04:00Z", "2026-03-10T04:00Z"]),
        ("America/New_York", &["2026-11-01T04:00Z", "2026-11-02T05:00Z", "2026-11-03T05:00Z"]),
        ("Asia/Kolkata", &["2026-03-28T18:30Z", "2026-03-29T18:30Z"]),
        // At midnight it is one o'clock.
        ("Asia/Beirut", &["2026-03-27T22:00Z", "2026-03-28T22:00Z", "2026-03-29T21:00Z"]),
        ("America/Sao_Paulo", &["2018-11-03T03:00Z", "2018-11-04T03:00Z", "2018-11-05T02:00Z"]),
        // At midnight it is eleven in the evening once more.
        ("Asia/Beirut", &["2026-10-23T21:00Z", "2026-10-24T22:00Z", "2026-10-25T22:00Z"]),
        ("America/Sao_Paulo", &["2018-02-17T02:00Z", "2018-02-18T03:00Z", "2018-02-19T03:00Z"]),
        // At one it is midnight once more.
        ("America/Havana", &["2026-11-01T04:00Z", "2026-11-02T05:00Z"]),
        // Half an hour.
        ("Australia/Lord_Howe", &["2026-04-04T13:00Z", "2026-04-05T13:30Z", "2026-04-06T13:30Z"]),
        ("Australia/Lord_Howe", &["2026-10-03T13:30Z", "2026-10-04T13:00Z", "2026-10-05T13:00Z"]),
        // At a minute past midnight it is a minute past eleven in the evening: the new day has begun already.
        ("America/St_Johns", &["2006-10-28T02:30Z", "2006-10-29T02:30Z", "2006-10-30T03:30Z"]),
    ] {
        let day = Window::calendar(Unit::Day, 1, Zone::get(zone).expect("known"));
        let midnights: Vec<Millis> =
            midnights.iter().map(|t| t.replace('Z', ":00Z").parse::<Timestamp>().expect(t).as_millisecond()).collect();
        for (n, pair) in midnights.windows(2).enumerate() {
            let (begins, ends) = (pair[0], pair[1]);
            for ts in [begins, begins + 1, (begins + ends) / 2, ends - 1] {
                assert_eq!(day.pane(ts), day.pane(midnights[0]) + n as i64, "{zone} {ts}");
                assert_eq!((day.since(ts), day.expiry(day.pane(ts))), (begins, ends), "{zone} {ts}");
            }
            assert_eq!(day.expiry(day.pane(begins - 1)), begins, "{zone}");
        }
    }
}

#[test]
fn a_date_that_was_left_out_is_an_empty_day() {
    let day = Window::calendar(Unit::Day, 2, Zone::get("Pacific/Apia").expect("known"));
    // Samoa went from the 29th of December 2011 to the 31st.
    let at = |text: &str| text.parse::<Timestamp>().expect(text).as_millisecond();
    let (before, after) = (at("2011-12-30T09:59:59.999Z"), at("2011-12-30T10:00:00Z"));
    assert_eq!(day.pane(after) - day.pane(before), 2);
    assert_eq!(day.start(day.pane(before) + 1), after);
    assert_eq!(day.expiry(day.pane(before)), after, "two days back is a day that nobody saw");
}

#[test]
fn every_zone_agrees_with_jiff_at_every_change_of_its_clocks() {
    let mut looked_at = 0;
    for name in db().available() {
        let tz = TimeZone::get(name.as_str()).expect("available");
        let day = Window::calendar(Unit::Day, 1, Zone::get(name.as_str()).expect("available"));
        let until = Timestamp::from_second(2_300_000_000).expect("in range");
        for change in tz.following(Timestamp::UNIX_EPOCH).take_while(|change| change.timestamp() < until) {
            let at = change.timestamp().as_millisecond();
            for ts in [-HOUR, -MINUTE, -1, 0, 1, MINUTE, HOUR, DAY].map(|off| (at + off).max(0)) {
                assert_eq!(day.pane(ts), number_of(Unit::Day, date(&tz, ts)), "{name} {ts}");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at > 100_000, "{looked_at}");
}

#[test]
fn a_zone_is_one_however_often_it_is_asked_for() {
    let berlin = Zone::get("Europe/Berlin").expect("known");
    assert_eq!((berlin, berlin.name()), (Zone::get("europe/berlin").expect("known"), "Europe/Berlin"));
    assert_ne!(berlin, Zone::get("Europe/Paris").expect("known"));
    for (name, near) in [
        ("Europe/Berln", &["Europe/Berlin"][..]),
        ("Berlin", &["Europe/Berlin"]),
        ("new york", &["America/New_York"]),
        ("Asia/Bombay", &[]),
        ("", &[]),
        ("Louisville", &["America/Kentucky/Louisville", "America/Louisville"]),
    ] {
        assert_eq!(Zone::get(name).expect_err(name).nearest, near, "{name}");
    }
}

#[test]
fn the_usual_resolution_follows_the_span() {
    for (span, resolution) in [
        (SECOND, SECOND),
        (HOUR, SECOND),
        (HOUR + 1, MINUTE),
        (DAY, MINUTE),
        (7 * DAY, HOUR),
        (31 * DAY, HOUR),
        (90 * DAY, DAY),
    ] {
        assert_eq!(usual_resolution(span), resolution, "{span}");
    }
}

#[test]
fn windows_are_shown_as_they_are_written() {
    let utc = Zone::get("UTC").expect("known");
    for (window, text) in [
        (Window::sliding(DAY, MINUTE), "1d"),
        (Window::calendar(Unit::Day, 1, utc), "day"),
        (Window::calendar(Unit::Month, 3, utc), "3 months"),
    ] {
        assert_eq!(window.to_string(), text);
    }
}
