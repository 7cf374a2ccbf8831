//! collect, Kafka, a stream that is killed now and then, and a batch beside it.

use super::world::World;
use crate::kafka::{broker, create_topic};
use crate::streams::{Random, counts, wait_until};
use std::time::Duration;

#[test]
fn a_base_given_beside_a_running_stream_is_installed_by_it() {
    let Some(broker) = broker() else { return };
    let world = World::keyed(11, 3);
    let topic = create_topic(&broker, "base", 2);
    // The log is made by collect this time, and shipped.
    std::fs::remove_dir_all(world.dir.file("log")).expect("removed");
    let all = world.lines(0..3);
    let lines: Vec<&str> = all.lines().collect();
    let collect = |part: &[&str]| {
        let args = format!("collect -q --log log/ -b {broker} -t {topic}");
        world.dir.adprof(&args).stdin(part.join("\n") + "\n").exits(0);
    };
    let (first, rest) = lines.split_at(150);
    collect(first);
    let args = format!("stream -b {broker} -t {topic} --store file:s");
    let mut stream = world.dir.start(&args);
    wait_until("the first events", Duration::from_secs(30), || {
        adprof::store::Embedded::exists(&world.dir.file("s")) && counts(&world.dir.file("s"))[0] >= 150
    });
    collect(rest);
    let mut random = Random(3);
    for day in [0, 1, 1] {
        let said = world.base(day, "");
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stderr.contains("the stream that owns the store installs it"), "{}", said.stderr);
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        stream.signal("KILL");
        stream.end();
        stream = world.dir.start(&args);
        // What the store says may be what the one before it said.
        let owner = format!("process {}\n", stream.pid());
        wait_until("the stream", Duration::from_secs(30), || world.dir.read("s/writer.lock").ends_with(&owner));
        wait_until("the base", Duration::from_secs(30), || {
            let told = format!("\"base\":\"{}\"", world.name(day));
            world.dir.adprof("query --store file:s --origin u1").output().stdout.contains(&told)
        });
    }
    let total = lines.len() as u64;
    wait_until("all events", Duration::from_secs(30), || counts(&world.dir.file("s"))[0] == total);
    world.is_whole("beside a running stream");
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
    world.is_whole("and after it");
    // A stream of some partitions has some users: a base would bring in those of others.
    world.dir.adprof(&format!("stream -b {broker} -t {topic} -p 0 -e --tags clicks --store file:part")).exits(0);
    let through = world.name(0);
    let output = world.dir.adprof(&format!("batch --log log --through {through} --store file:part")).exits(2);
    assert!(output.stderr.contains("the state those of some partitions only"), "{}", output.stderr);
}
