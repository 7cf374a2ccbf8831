//! Shipped maps on lines of their own kind, and what a map file may get wrong.

use super::*;
use crate::event::{Code, Event, Refusal, Rules};
use proptest::prelude::*;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::PathBuf;

const NOW: i64 = 1_800_000_000_000;

fn lines(map: &Map, lines: &[&str]) -> Vec<Result<Option<String>, Refusal>> {
    let mut converter = Converter::new(map.clone(), "test");
    let mut one = |(i, line): (usize, &&str)| {
        let mut out = b"before\n".to_vec();
        let made = converter.convert(line.as_bytes(), i as u64 + 1, &mut out)?;
        let written = out.strip_prefix(b"before\n").expect("what stood there stays");
        assert_eq!(made, !written.is_empty(), "{line}");
        let text = String::from_utf8(written.to_vec()).expect("UTF-8");
        Ok(made.then_some(text))
    };
    lines.iter().enumerate().map(&mut one).collect()
}

/// The event that a shipped map makes of one line, after the validator has seen it.
fn shipped(map: &str, line: &str) -> String {
    let map = Map::named_or_file(map).expect(map);
    let made = lines(&map, &[line]).remove(0).expect("no refusal").expect("an event");
    Event::parse(made.as_bytes(), NOW, &Rules::default()).expect("valid").expect("not blank");
    made
}

fn refused(map: &Map, line: &str) -> String {
    lines(map, &[line]).remove(0).expect_err(line).to_string()
}

fn wrong(text: &str) -> String {
    let error = Map::parse(text, "m.toml").expect_err(text);
    format!("{error}{}", error.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default())
}

#[test]
fn every_shipped_map_reads_and_says_what_it_is() {
    for name in Map::names() {
        let map = Map::named_or_file(name).unwrap_or_else(|e| panic!("{e}"));
        assert!(!map.description.is_empty(), "{name}");
        assert_eq!(map.is_csv(), name == "taobao");
    }
}

#[test]
fn equal_rows_are_two_events_with_ids_that_stay() {
    let map = Map::named_or_file("taobao").expect("shipped");
    let row = "543462,1715,1464116,pv,1511658000";
    let made = lines(&map, &[row, row, "", "543462,1715,1464116,buy,1511658000.5\r"]);
    let texts: Vec<&str> = made.iter().map(|r| r.as_ref().expect("accepted").as_deref().unwrap_or("")).collect();
    let id = "626537e981488bb9bdbaf99919d1932b";
    let tail =
        r#""userId":"543462","eventType":"view","timestamp":1511658000000,"itemId":"1715","category":"1464116"}"#;
    assert_eq!(texts[0], format!(r#"{{"eventId":"{id}-1",{tail}"#));
    assert_eq!(texts[1], format!(r#"{{"eventId":"{id}-2",{tail}"#));
    assert_eq!(texts[2], "");
    assert!(texts[3].contains(r#""eventType":"purchase","timestamp":1511658000500,"#), "{}", texts[3]);
    assert_eq!(made, lines(&map, &[row, row, "", "543462,1715,1464116,buy,1511658000.5"]));
}

#[test]
fn a_bad_row_is_refused_by_its_column_and_its_neighbours_are_not() {
    let map = Map::named_or_file("taobao").expect("shipped");
    let good = "1,2,3,pv,1511658000";
    for (row, reason) in [
        ("1,2,3,pv", "BAD_MAP: 4 cells where there are 5 columns"),
        ("1,2,3,pv,soon", "BAD_MAP: `timestamp`: not a number: \"soon\""),
        (",2,3,pv,1511658000", "BAD_MAP: `userId` is missing: no value in `userId`"),
        ("1,2,3,PV,1511658000", "BAD_MAP: `eventType` from `behavior`: not one of the values of the map: \"PV\""),
        ("1,2,3,pv,\"1511658000", "BAD_MAP: the quote of column 5 is not closed: a cell cannot go on in the next line"),
        ("1,2,3,pv,1e40", "BAD_MAP: `timestamp`: beyond 64 bits of milliseconds: \"1e40\""),
    ] {
        let made = lines(&map, &[good, row, good]);
        assert_eq!(made[1].as_ref().expect_err(row).to_string(), reason);
        assert!(made[0].is_ok() && made[2].is_ok(), "{row}");
    }
    let mut out = Vec::new();
    let mut converter = Converter::new(map, "test");
    let code = |r: Result<bool, Refusal>| r.expect_err("refused").code;
    assert_eq!(code(converter.convert(b"1,2,\xff,pv,1511658000", 1, &mut out)), Code::NotUtf8);
    assert_eq!(code(converter.convert(&vec![b'1'; 300_000], 2, &mut out)), Code::TooLong);
    assert!(out.is_empty());
}

#[test]
fn a_segment_track_call_is_an_event() {
    let line = r#"{"type":"track","messageId":"ajs-1","anonymousId":"a-7","userId":"u-1","event":"Order Completed","timestamp":"2022-11-22T10:36:55.317Z","receivedAt":"2022-11-22T10:36:56.000Z","properties":{"order_id":"o-9","revenue":30.000000000000004,"total":36,"category":"sports","product_id":507},"context":{"ip":"8.8.8.8","campaign":{"name":"spring"}},"integrations":{}}"#;
    assert_eq!(
        shipped("segment-track", line),
        r#"{"eventId":"ajs-1","userId":"u-1","eventType":"purchase","timestamp":1669113415317,"category":"sports","itemId":"507","campaignId":"spring","orderId":"o-9","amount":30,"type":"track","anonymousId":"a-7","properties":{"order_id":"o-9","revenue":30.000000000000004,"total":36,"category":"sports","product_id":507},"context":{"ip":"8.8.8.8","campaign":{"name":"spring"}},"integrations":{},"original":{"receivedAt":"2022-11-22T10:36:56.000Z"}}"#
    );
    let line = r#"{"type":"track","messageId":"m2","anonymousId":"a-7","userId":null,"event":"Signed Up","timestamp":"2022-11-22T11:36:55+01:00","properties":{"total":"12.50"}}"#;
    assert_eq!(
        shipped("segment-track", line),
        r#"{"eventId":"m2","userId":"a-7","eventType":"Signed Up","timestamp":1669113415000,"amount":12.5,"type":"track","properties":{"total":"12.50"}}"#
    );
    let map = Map::named_or_file("segment-track").expect("shipped");
    let mut converter = Converter::new(map.clone(), "test");
    assert_eq!(
        converter.convert(br#"{"type":"identify","messageId":"m","userId":"u"}"#, 1, &mut Vec::new()),
        Ok(false)
    );
    assert_eq!(converter.dropped(), 1);
    for (line, reason) in [
        (
            r#"{"type":"track","messageId":"m","event":"E","timestamp":"2022-11-22T10:36:55Z"}"#,
            "BAD_MAP: `userId` is missing: no value in `userId`, `anonymousId`",
        ),
        (
            r#"{"messageId":"m","userId":"u","event":"E","timestamp":"now"}"#,
            "BAD_MAP: `timestamp`: not an ISO 8601 date and time: \"now\"",
        ),
        (
            r#"{"messageId":"m","userId":"u","userId":"v","event":"E","timestamp":"2022-11-22"}"#,
            "DUP_KEY: `userId` is there twice",
        ),
        (
            r#"{"messageId":"m","userId":"u","event":"E","timestamp":"2022-11-22","properties":{"product_id":[1]}}"#,
            "BAD_MAP: `itemId` from `properties.product_id`: an object or a list stands where one value is needed",
        ),
        (
            r#"{"messageId":"m","userId":"u","event":"E","timestamp":"2022-11-22","properties":{"revenue":"free"}}"#,
            "BAD_MAP: `amount` from `properties.revenue`: not a number: \"free\"",
        ),
        (r#"{"messageId":"m""#, "NOT_JSON: EOF while parsing an object at column 16"),
        ("[1]", "NOT_OBJECT: a record is a JSON object"),
    ] {
        assert_eq!(refused(&map, line), reason);
    }
}

#[test]
fn a_snowplow_event_is_an_event() {
    let line = r#"{"app_id":"shop","collector_tstamp":"2022-11-22T10:36:56.000Z","derived_tstamp":"2022-11-22T10:36:55.317Z","event":"transaction","event_id":"c6ef3124-b53a-4b13-a233-0088f79dcbcb","user_id":null,"domain_userid":"bc2e92ec6c204a14","domain_sessionid":"8c2f","event_name":"transaction","tr_orderid":"o-9","tr_total":150.75,"mkt_campaign":"spring"}"#;
    assert_eq!(
        shipped("snowplow", line),
        r#"{"eventId":"c6ef3124-b53a-4b13-a233-0088f79dcbcb","userId":"bc2e92ec6c204a14","eventType":"purchase","timestamp":1669113415317,"campaignId":"spring","sessionId":"8c2f","orderId":"o-9","deviceId":"bc2e92ec6c204a14","amount":150.75,"event_name":"transaction","app_id":"shop","collector_tstamp":"2022-11-22T10:36:56.000Z","event":"transaction"}"#
    );
    let line = r#"{"event":"struct","event_name":"event","event_id":"e2","user_id":"u-1","domain_userid":"d","collector_tstamp":"2022-11-22 10:36:56.000","se_category":"video","se_action":"play","se_label":"intro","se_value":3.5}"#;
    assert_eq!(
        shipped("snowplow", line),
        r#"{"eventId":"e2","userId":"u-1","eventType":"play","timestamp":1669113416000,"category":"video","deviceId":"d","event_name":"event","se_action":"play","event":"struct","se_label":"intro","se_value":3.5}"#
    );
}

#[test]
fn a_ga4_row_is_an_event() {
    let line = r#"{"event_date":"20221122","event_timestamp":"1669113415317999","event_name":"purchase","user_pseudo_id":"1234.5678","event_params":[{"key":"page","value":{"string_value":"/"}},{"key":"ga_session_id","value":{"int_value":"77"}}],"ecommerce":{"purchase_revenue":59.99,"transaction_id":"T1"},"items":[{"item_id":"sku-1","item_category":"(not set)"},{"item_id":"sku-2"}]}"#;
    let made = shipped("ga4", line);
    let (id, rest) = made.split_at(r#"{"eventId":""#.len() + 32);
    assert!(id[12..].bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(
        rest,
        r#"","userId":"1234.5678","eventType":"purchase","timestamp":1669113415317,"itemId":"sku-1","sessionId":"1234.5678.77","orderId":"T1","deviceId":"1234.5678","amount":59.99,"event_name":"purchase","event_date":"20221122","event_params":[{"key":"page","value":{"string_value":"/"}},{"key":"ga_session_id","value":{"int_value":"77"}}],"ecommerce":{"purchase_revenue":59.99,"transaction_id":"T1"},"items":[{"item_id":"sku-1","item_category":"(not set)"},{"item_id":"sku-2"}]}"#
    );
}

#[test]
fn a_cloud_event_is_an_event() {
    let line = r#"{"specversion":"1.0","id":"A234","source":"/shop/eu","type":"purchase","time":"2022-11-22T10:36:55.317Z","subject":"u-1","datacontenttype":"application/json","data":{"amount":"150.75","category":"books","cart":[1,2]}}"#;
    assert_eq!(
        shipped("cloudevents", line),
        r#"{"eventId":"A234@/shop/eu","userId":"u-1","eventType":"purchase","timestamp":1669113415317,"category":"books","amount":150.75,"specversion":"1.0","id":"A234","source":"/shop/eu","datacontenttype":"application/json","data":{"amount":"150.75","category":"books","cart":[1,2]}}"#
    );
    let far = format!("urn:{}", "x".repeat(200));
    let made = shipped("cloudevents", &line.replace("/shop/eu", &far));
    let event = Event::parse(made.as_bytes(), NOW, &Rules::default()).expect("valid").expect("not blank");
    assert_eq!(event.event_id.len(), 32);
    assert!(event.raw("source").is_some_and(|raw| raw.get().contains(&far)));
}

const HEADED: &str = r#"
format = "csv"
missing = ["NULL"]
[csv]
delimiter = ";"
[drop]
bot = ["1", "yes"]
[fields]
userId = "uid"
eventType = { from = "what", map = { hb = "x" }, other = "keep", default = "visit" }
timestamp = { from = "at", as = "datetime", format = "%d.%m.%Y %H:%M", tz = "Europe/Berlin" }
amount = { from = "cents", as = "decimal", shift = -2 }
tenantId = { const = "acme" }
rank = { from = "rank", as = "number" }
"#;

#[test]
fn a_header_names_the_columns_and_the_rest_stays() {
    let map = Map::parse(HEADED, "m.toml").expect("a map");
    let made = lines(
        &map,
        &[
            "\u{feff}uid;what;at;cents;bot;note;rank\r",
            r#"u;buy;22.11.2022 11:36;15075;0;"a;""b""";3"#,
            "u;NULL;22.11.2022 11:36;NULL;no;;",
            "u;buy;22.11.2022 11:36;1;yes;;",
            "u;buy;22.11.2022 11:36;1.5;no;;1",
            "u;buy;22.11.2022 11:36;0.001;no;;x",
        ],
    );
    let texts: Vec<String> = made.iter().map(|r| format!("{r:?}").replace("\\\"", "'")).collect();
    assert_eq!(texts[0], "Ok(None)");
    let common = "'userId':'u','eventType'";
    assert!(texts[1].contains(&format!("{common}:'buy','timestamp':1669113360000,'amount':150.75,'tenantId':'acme','rank':3,'bot':'0','note':'a;\\\\'b\\\\''}}")), "{}", texts[1]);
    assert!(
        texts[2].contains(&format!("{common}:'visit','timestamp':1669113360000,'tenantId':'acme','bot':'no'}}")),
        "{}",
        texts[2]
    );
    assert_eq!(texts[3], "Ok(None)");
    assert!(texts[4].contains("'amount':0.015,"), "{}", texts[4]);
    assert!(texts[5].contains("`rank`: not a number: 'x'"), "{}", texts[5]);
    let ids: HashSet<&str> = texts.iter().filter_map(|t| t.split("'eventId':'").nth(1)).map(|t| &t[..34]).collect();
    assert_eq!(ids.len(), 3);
    for (header, reason) in [
        ("a;b;a", "the header names column `a` twice"),
        ("a;;b", "column 2 of the header has no name"),
        ("uid;what;at;cent;rank", "the header has no column `cents` for `amount`; there is `cent`"),
        ("uid;\"what", "the quote of column 2 is not closed: a cell cannot go on in the next line"),
    ] {
        let made = lines(&map, &[header, "u;buy;22.11.2022 11:36;1;1", "u;buy;22.11.2022 11:36;1;1"]);
        assert_eq!(made[0].as_ref().expect_err(header).to_string(), format!("BAD_MAP: {reason}"));
        let rows = format!("BAD_MAP: no row can be read under this header: {reason}");
        assert!(made[1..].iter().all(|row| row.as_ref().expect_err(header).to_string() == rows), "{made:?}");
    }
}

#[test]
fn a_foreign_name_that_the_map_gives_to_something_else_goes_under_original() {
    let map = Map::parse(
        "format = 'json'\n[fields]\neventId='id'\nuserId='uid'\neventType='kind'\ntimestamp='ts'\nx='y'\n",
        "m.toml",
    )
    .expect("a map");
    let line = r#"{"id":5,"uid":true,"kind":"k","ts":5,"y":{"z":[1]},"x":2,"eventId":"old","original":3,"category":"c","n":null}"#;
    assert_eq!(
        lines(&map, &[line]).remove(0).expect("no refusal").expect("an event"),
        r#"{"eventId":"5","userId":"true","eventType":"k","timestamp":5,"x":{"z":[1]},"category":"c","n":null,"original":{"x":2,"eventId":"old","original":3}}"#
    );
    let map = Map { rest: false, ..map };
    let made = lines(&map, &[line]).remove(0).expect("no refusal").expect("an event");
    assert!(made.ends_with(r#""x":{"z":[1]}}"#), "{made}");
}

#[test]
fn a_wrong_map_is_told_where_and_what_to_do() {
    let fields = "userId='a'\neventType='b'\ntimestamp='c'\n";
    let json = |extra: &str| format!("format = \"json\"\n[fields]\n{fields}{extra}");
    for (text, error) in [
        ("x =", "m.toml:1:4: "),
        ("", "m.toml:1:1: the map has no table `[fields]`"),
        ("[fields]\n", "m.toml:1:1: the map has no `format`: \"csv\" or \"json\""),
        ("format = 'xml'\n[fields]", "m.toml:1:10: unknown value: xml | one of csv, json"),
        ("format = 'json'\nfeilds = 1\n[fields]", "m.toml:2:1: unknown key: feilds | did you mean fields?"),
        ("format = 'json'\n[fields]\nuserId = 'a'\n", "m.toml:2:1: the map gives no `eventType`"),
        ("format = 'csv'\n[csv]\nheader = false\n[fields]", "m.toml:2:1: a file without a header needs its `columns`"),
        (
            "format = 'csv'\ncsv = { columns = ['uid', 'é'] }\nfields = { 'é' = 'é', userId = 'udi' }",
            "m.toml:3:32: unknown column: udi | did you mean uid?",
        ),
        (&json("x = { form = 'a' }"), "m.toml:6:7: unknown key: form | did you mean from?"),
        (&json("x = { from = 'a', as = 'second' }"), "m.toml:6:24: unknown conversion: second | did you mean seconds?"),
        (&json("x = { from = 'a..b' }"), "m.toml:6:14: not a path: \"a..b\""),
        (&json("x = { template = '{a' }"), "m.toml:6:18: a `{` or `}` of the template has no partner"),
        (&json("x = { as = 'string' }"), "m.toml:6:5: a field needs `from`, `template` or `const`"),
        (&json("x = { const = 1, from = 'a' }"), "m.toml:6:15: `const` stands alone: "),
        (&json("x = { from = 'a', places = 2 }"), "m.toml:6:28: `places` belongs to `as = \"decimal\"`"),
        (&json("amount = { from = 'a', places = 7 }"), "m.toml:6:33: a number from 0 to 6 is needed here"),
        (&json("x = { from = 'a', as = 'datetime', tz = 'Mars' }"), "m.toml:6:41: unknown time zone: Mars"),
        (&json("x = { from = 'a', other = 'drop' }"), "m.toml:6:27: `other` is about a value"),
        (&json("x = 5"), "m.toml:6:5: a path, a list of paths or a table is needed here, this is a integer"),
        (&json("original = 'a'"), "m.toml:6:1: `original` is kept for"),
    ] {
        let told = wrong(text);
        assert!(told.starts_with(error), "{told}\n{error}");
    }
}

#[test]
fn an_unknown_map_names_the_nearest_and_all() {
    let error = Map::named_or_file("toabao").expect_err("no such map");
    assert_eq!(error.kind, MapErrorKind::Unknown);
    assert_eq!(error.to_string(), "toabao: no map of this name and no such file");
    let hint = error.hint.expect("a hint");
    assert!(
        hint.starts_with("did you mean taobao? maps: taobao, segment-track, snowplow, ga4, cloudevents;"),
        "{hint}"
    );
    let directory = tempfile::tempdir().expect("a directory");
    let error = Map::named_or_file(directory.path().to_str().expect("UTF-8")).expect_err("a directory");
    assert_eq!(error.kind, MapErrorKind::Unreadable);
    let file = directory.path().join("shop.toml");
    std::fs::write(&file, HEADED).expect("written");
    assert!(Map::named_or_file(file.to_str().expect("UTF-8")).expect("a map").is_csv());
}

/// The folder of real data: `ADPROF_DATA`, or `../shared/data` next to the crate or one above.
fn data(file: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let near = ["../shared/data", "../../shared/data"].map(|folder| root.join(folder));
    std::env::var_os("ADPROF_DATA")
        .map(PathBuf::from)
        .into_iter()
        .chain(near)
        .map(|d| d.join(file))
        .find(|p| p.exists())
}

#[test]
fn the_real_taobao_file_is_the_events_it_is_known_to_be() {
    let folder = "taobao-userbehavior";
    let (Some(raw), Some(known)) =
        (data(&format!("{folder}/UserBehavior.csv")), data(&format!("{folder}/events.ndjson.zst")))
    else {
        eprintln!("skipped: no {folder} (set ADPROF_DATA to the folder of real data)");
        return;
    };
    let raw = std::fs::read(raw).expect("readable");
    let known =
        std::io::BufReader::new(zstd::Decoder::new(std::fs::File::open(known).expect("readable")).expect("zstd"));
    let mut converter = Converter::new(Map::named_or_file("taobao").expect("shipped"), "UserBehavior.csv");
    let (mut ids, mut users, mut purchases) = (HashSet::new(), HashSet::new(), 0);
    for ((i, line), known) in raw.trim_ascii_end().split(|b| *b == b'\n').enumerate().zip(known.lines()) {
        let mut out = Vec::new();
        assert_eq!(converter.convert(line, i as u64 + 1, &mut out), Ok(true), "line {}", i + 1);
        let event = Event::parse(&out, NOW, &Rules::default()).expect("valid").expect("not blank");
        let known = known.expect("readable");
        let known = Event::parse(known.as_bytes(), NOW, &Rules::default()).expect("valid").expect("not blank");
        assert_eq!((&event.user_id, &event.event_type), (&known.user_id, &known.event_type), "line {}", i + 1);
        assert_eq!(event.timestamp, known.timestamp, "line {}", i + 1);
        for name in ["itemId", "category"] {
            assert_eq!(event.raw(name).map(|r| r.get()), known.raw(name).map(|r| r.get()), "line {}", i + 1);
        }
        purchases += u32::from(event.event_type == "purchase");
        ids.insert(event.event_id.into_owned());
        users.insert(event.user_id.into_owned());
    }
    assert_eq!((ids.len(), purchases, users.len()), (110_300, 2_493, 66_454));
}

#[test]
fn the_maps_on_the_page_are_maps() {
    let page = include_str!("../../../docs/maps.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        Map::parse(block, "docs/maps.md").unwrap_or_else(|e| panic!("{e}\n{block}"));
    }
    assert!(Map::names().all(|name| page.contains(&format!("| `{name}` |"))));
}

proptest! {
    #[test]
    fn no_line_brings_a_map_down(
        map in prop::sample::select(Map::names().collect::<Vec<_>>()),
        at in 0usize..400,
        junk in prop::collection::vec(any::<u8>(), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let good: &[u8] = match map {
            "taobao" => b"543462,1715,1464116,pv,1511658000",
            "ga4" => br#"{"event_timestamp":"1669113415317999","event_name":"x","user_pseudo_id":"1","items":[{"item_id":"s"}],"event_params":[{"key":"ga_session_id","value":{"int_value":7}}]}"#,
            "snowplow" => br#"{"event_id":"e","user_id":"u","event_name":"x","collector_tstamp":"2022-11-22 10:36:56","tr_total":1.5}"#,
            "cloudevents" => br#"{"id":"e","source":"s","subject":"u","type":"x","time":"2022-11-22T10:36:56Z","data":{"amount":"1.5"}}"#,
            _ => br#"{"messageId":"e","userId":"u","event":"x","timestamp":"2022-11-22T10:36:56Z","properties":{"total":2}}"#,
        };
        let mut broken = good.to_vec();
        broken.splice(at.min(good.len())..(at + 1).min(good.len()), junk);
        let mut converter = Converter::new(Map::named_or_file(map).expect("shipped"), "test");
        for (line, number) in [(good, 1), (&broken[..], 2), (&noise[..], 3), (good, 4)] {
            let mut out = Vec::new();
            match converter.convert(line, number, &mut out) {
                Ok(true) => {
                    // What a map writes is JSON; only an escape that was broken before may be left for the validator.
                    let judged = Event::parse(&out, NOW, &Rules::default());
                    let broken_before = line.windows(2).any(|w| w == b"\\u");
                    prop_assert!(!matches!(judged, Err(r) if r.code == Code::NotJson && !broken_before));
                }
                _ => {
                    prop_assert!(out.is_empty());
                    prop_assert!(number == 2 || number == 3);
                }
            }
        }
    }
}
