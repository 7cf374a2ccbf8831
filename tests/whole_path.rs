//! The whole path without any server: synthetic events to the log, live and nightly tags into one embedded store, and out.

mod support;

use support::{Dir, agrees};

#[test]
fn live_and_nightly_tags_of_one_log_meet_in_the_embedded_store() {
    let dir = Dir::new();
    let events = dir.adprof("gen --events 20000 --users 500 --duplicates 2% --late 2%").ok();
    dir.adprof("collect").stdin(events).exits(0);
    let log = std::fs::read(dir.file("ad-events.log")).expect("there");
    dir.adprof("stream --store file:./adprof-store").stdin(log).exits(0);
    let patches = dir.adprof("batch --log ad-events.log").ok();
    let users = patches.lines().count();
    dir.adprof("sink file").stdin(patches).exits(0);

    let all: Vec<&str> = "clicks_1h_count last_click_category last_active_ts ltv_total segment_id".split(' ').collect();
    let one = dir.adprof("query u-0000001").ok();
    assert!(one.starts_with("{\"userId\":\"u-0000001\",\"asOf\":"), "{one}");
    assert!(all.iter().all(|code| one.contains(&format!("\"{code}\":"))), "{one}");

    // Everybody, as of now: the clicks are long past, and the rest is what an independent fold finds.
    let patches = dir.adprof("batch --tags last_active_ts").ok();
    let ids: String = patches.lines().map(|line| line.split('"').nth(3).expect("an id").to_string() + "\n").collect();
    let profiles = dir.adprof("query -").stdin(ids).ok();
    assert_eq!(profiles.lines().count(), users);
    agrees(&dir.file("ad-events.log"), Some(jiff::Timestamp::now().as_millisecond()), &profiles);

    // The stream goes on where it stopped; what it has seen changes nothing.
    let log = std::fs::read(dir.file("ad-events.log")).expect("there");
    dir.adprof("stream --store file:./adprof-store").stdin(log).exits(0);
    let again = dir.adprof("query u-0000001").ok();
    assert_eq!(again.split_once("\"tags\"").expect("tags").1, one.split_once("\"tags\"").expect("tags").1);
}
