//! Real events, from the log to every place where profiles are read: known sums, an independent fold, the same bytes.
//!
//! The data sets are not part of this project; without them the tests say that they did nothing.

mod support;

use adprof::money::Decimal;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use support::{Dir, agrees, data};

/// The events of a data set, unpacked.
fn events(set: &str) -> Option<String> {
    let packed = std::fs::read(data(&format!("{set}/events.ndjson.zst"))?).expect("read");
    Some(String::from_utf8(zstd::stream::decode_all(&packed[..]).expect("zstd")).expect("UTF-8"))
}

#[derive(serde::Deserialize)]
struct Profile<'a> {
    #[serde(rename = "userId")]
    user_id: String,
    #[serde(borrow)]
    tags: BTreeMap<String, &'a RawValue>,
}

/// Every user's value of a tag, as it is written.
fn values(profiles: &str, code: &str) -> BTreeMap<String, String> {
    let read = |line| serde_json::from_str::<Profile>(line).expect("a profile");
    let value = |p: Profile| Some((p.user_id, p.tags.get(code)?.get().to_string()));
    profiles.lines().map(read).filter_map(value).collect()
}

fn sum(values: &BTreeMap<String, String>) -> String {
    let total: i128 = values.values().map(|text| Decimal::parse(text).expect("a decimal").0).sum();
    Decimal(total).to_string()
}

/// The known facts of the set, wherever its profiles come from.
fn cdnow_holds(ltv: &BTreeMap<String, String>, from: &str) {
    assert_eq!(ltv.len(), 23_570, "{from}");
    assert_eq!(sum(ltv), "2500315.63", "{from}");
    assert_eq!((ltv["07592"].as_str(), ltv["14048"].as_str()), ("13990.93", "8976.33"), "{from}");
}

#[test]
fn cdnow_has_its_known_sums_in_the_patches_and_through_the_embedded_store() {
    let Some(log) = data("cdnow/events.ndjson.zst") else { return };
    let dir = Dir::new();
    let patches = dir.adprof("batch --log").arg(log).ok();
    let ltv = values(&patches, "ltv_total");
    cdnow_holds(&ltv, "patches");
    dir.adprof("sink file").stdin(patches.clone()).exits(0);
    let ids: String = ltv.keys().map(|id| format!("{id}\n")).collect();
    cdnow_holds(&values(&dir.adprof("query -").stdin(ids).ok(), "ltv_total"), "embedded store");
    let one = dir.adprof("query 07592").ok();
    assert!(one.contains("\"tags\":{\"ltv_total\":13990.93,\"segment_id\":\"high_value_user\"}"), "{one}");
    // Again, and nothing changes.
    dir.adprof("sink file").stdin(patches).exits(0);
    let again = dir.adprof("query 07592").ok();
    assert_eq!(again.split_once("\"tags\"").expect("tags").1, one.split_once("\"tags\"").expect("tags").1);
}

#[test]
fn cdnow_has_its_known_sums_in_redis() {
    let (Some(log), Some(redis)) = (data("cdnow/events.ndjson.zst"), support::redis()) else { return };
    // A database of its own: the users' keys are those of anybody.
    let url = format!("{redis}/11");
    let client = redis::Client::open(url.as_str()).expect("an address");
    let mut connection = client.get_connection().expect("connected");
    redis::cmd("FLUSHDB").exec(&mut connection).expect("flushed");
    let dir = Dir::new();
    let patches = dir.adprof("batch --log").arg(log).ok();
    dir.adprof("sink redis").arg(&url).stdin(patches.clone()).exits(0);
    let ids: Vec<String> = values(&patches, "ltv_total").into_keys().collect();
    let mut ltv = BTreeMap::new();
    for some in ids.chunks(1000) {
        let mut pipe = redis::pipe();
        for id in some {
            pipe.cmd("HGETALL").arg(format!("profile:{id}"));
        }
        let hashes: Vec<BTreeMap<String, String>> = pipe.query(&mut connection).expect("answered");
        for (id, mut hash) in some.iter().zip(hashes) {
            ltv.insert(id.clone(), hash.remove("ltv_total").expect("a value"));
            assert!(hash.remove("segment_id").is_some() && hash.is_empty(), "{id}: {hash:?}");
        }
    }
    cdnow_holds(&ltv, "HGETALL");
    let listed = ids.join("\n");
    let told = dir.adprof("query - --store").arg(&url).stdin(listed).ok();
    cdnow_holds(&values(&told, "ltv_total"), "query from Redis");
    redis::cmd("FLUSHDB").exec(&mut connection).expect("flushed");
}

#[test]
fn the_taobao_rows_become_events_and_their_purchases_are_counted() {
    let Some(csv) = data("taobao-userbehavior/UserBehavior.csv") else { return };
    let dir = Dir::new();
    let told = dir.adprof("collect --map taobao").arg(csv).exits(0);
    assert!(told.stderr.contains("collected 110,300 events"), "{}", told.stderr);
    dir.write(
        "adprof.toml",
        "[[tag]]\ncode = \"events\"\nvalue = \"count(*)\"\n\
         [[tag]]\ncode = \"purchases\"\nvalue = \"count(*)\"\nwhere = \"eventType = 'purchase'\"\nupdate = \"daily\"\n",
    );
    let told = dir.adprof("batch --tags all").exits(0);
    assert!(told.stderr.contains("110,300 events; 66,454 profiles"), "{}", told.stderr);
    let count = |code| {
        let values = values(&told.stdout, code);
        (values.len(), values.values().map(|n| n.parse::<u64>().expect("a count")).sum::<u64>())
    };
    assert_eq!(count("events"), (66_454, 110_300));
    assert_eq!(count("purchases"), (66_454, 2_493));
}

/// A number that changes from step to step in no visible order.
fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn the_globo_clicks_shuffled_doubled_and_cut_give_the_same_bytes() {
    let Some(text) = events("globo-clicks") else { return };
    let dir = Dir::new();
    dir.write("one.ndjson", &text);
    let want = dir.adprof("batch --log one.ndjson --tags all").exits(0);
    assert!(want.stderr.contains("200,000 events; 62,562 profiles"), "{}", want.stderr);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.extend_from_within(50_000..90_000);
    let mut seed = 5;
    for i in (1..lines.len()).rev() {
        let j = random(&mut seed) % (i + 1);
        lines.swap(i, j);
    }
    let mut flags = String::new();
    for (i, piece) in lines.chunks(70_000).enumerate() {
        let bytes = piece.join("\n") + "\n";
        let packed = zstd::stream::encode_all(bytes.as_bytes(), 1).expect("in memory");
        dir.write(&format!("{i}"), if i % 2 == 0 { bytes.into_bytes() } else { packed });
        flags.push_str(&format!(" --log {i}"));
    }
    let got = dir.adprof(&format!("batch --tags all{flags}")).exits(0);
    assert!(got.stderr.contains("200,000 events, 40,000 duplicates; 62,562 profiles"), "{}", got.stderr);
    assert!(got.stdout == want.stdout, "other bytes");
}

/// The set through `batch` and through the independent fold, at its end and at two instants on the way.
fn folds(set: &str, users: usize) {
    let Some(text) = events(set) else { return };
    let dir = Dir::new();
    let log = dir.write("events.ndjson", &text);
    let all = dir.adprof("batch --log events.ndjson --tags all").ok();
    assert_eq!(all.lines().count(), users);
    if !agrees(&log, None, &all) {
        return;
    }
    #[derive(serde::Deserialize)]
    struct At {
        timestamp: i64,
    }
    let mut times: Vec<i64> =
        text.lines().map(|l| serde_json::from_str::<At>(l).expect("an event").timestamp).collect();
    times.sort_unstable();
    for as_of in [times[times.len() / 3], times[times.len() * 2 / 3] - 1] {
        let ours = dir.adprof(&format!("batch --log events.ndjson --tags all --as-of {as_of}")).ok();
        assert!(agrees(&log, Some(as_of), &ours));
    }
}

#[test]
fn cdnow_folds_as_the_oracle_does() {
    folds("cdnow", 23_570);
}

#[test]
fn taobao_folds_as_the_oracle_does() {
    folds("taobao-userbehavior", 66_454);
}

#[test]
fn open_bandit_folds_as_the_oracle_does() {
    folds("open-bandit", 317);
}

#[test]
fn the_flink_logs_fold_as_the_oracle_does() {
    folds("flink-tutorial-logs", 1_831);
}

#[test]
fn the_raiknef_funnel_folds_as_the_oracle_does() {
    folds("raiknef-funnel", 2_000);
}

#[test]
fn globo_folds_as_the_oracle_does() {
    folds("globo-clicks", 62_562);
}
