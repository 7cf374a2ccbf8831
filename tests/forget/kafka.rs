//! Kafka keeps its messages: a stream that reads them again leaves hers out.

use super::world::{OTHERS, WHO, day, found};
use crate::kafka::{broker, create_topic};
use crate::streams::{counts, keyed, produce, wait_until};
use crate::support::Dir;
use adprof::store::Embedded;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_topic_read_again_from_its_beginning_does_not_bring_her_back() {
    let Some(broker) = broker() else { return };
    let (dir, topic) = (Dir::new(), create_topic(&broker, "forget", 2));
    dir.adprof(&format!("collect -q --log events/ -b {broker} -t {topic}")).stdin(day(0) + &day(1)).ok();
    let stream = dir.start(&format!("stream -b {broker} -t {topic} --store file:s"));
    wait_until("the events", SOON, || Embedded::exists(&dir.file("s")) && counts(&dir.file("s"))[0] == 10);
    dir.adprof(&format!("forget {WHO} --log events --store file:s")).ok();
    // The shipper goes on where it was: not a line is sent twice, and none is lost.
    dir.adprof(&format!("collect -q --log events/ -b {broker} -t {topic}")).stdin(day(2)).ok();
    produce(&broker, &topic, &keyed(&day(1)));
    wait_until("the rest", SOON, || counts(&dir.file("s"))[0] == 19);
    stream.signal("TERM");
    let (code, said) = stream.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 forgotten"), "{said}");
    // A new state, told of the list; and one made from the log.
    let all = format!("stream -b {broker} -t {topic} -e");
    let said = dir.adprof(&format!("{all} --store file:new --forgotten events/forgotten")).exits(0).stderr;
    assert!(said.contains("12 events, 4 duplicates, 3 forgotten; 4 users"), "{said}");
    let filtered = dir.adprof(&format!("{all} --emit final --forgotten events/forgotten")).ok();
    assert_eq!(filtered.lines().count(), OTHERS.len(), "{filtered}");
    dir.adprof(&format!("rebuild --log events -b {broker} -t {topic} --store file:s")).ok();
    dir.adprof(&format!("{all} --store file:s")).ok();
    assert_eq!(found(dir.path()), Vec::<PathBuf>::new());
}
