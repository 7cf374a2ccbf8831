//! Redis as the projection of a state that is given bases: users and keys of other entities, whatever is killed.

use super::world::{DAY, Keyed, World, by_key};
use crate::kafka::{broker, create_topic};
use crate::streams::{Random, Server, counts, hget, keyed, now, produce, wait_until};
use crate::support::Running;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// All that Redis shows, by the name of the HASH.
fn shown(redis: &mut redis::Connection) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query(redis).expect("answered");
    names.retain(|name| !name.starts_with("adprof:"));
    if names.is_empty() {
        return BTreeMap::new();
    }
    let mut pipe = redis::pipe();
    for name in &names {
        pipe.cmd("HGETALL").arg(name);
    }
    let hashes: Vec<BTreeMap<String, String>> = pipe.query(redis).expect("answered");
    names.into_iter().zip(hashes).collect()
}

/// What it has to show by what `batch` says of the log.
fn wanted(world: &World) -> BTreeMap<String, BTreeMap<String, String>> {
    let (users, others) = world.batch(now());
    let users = users.replace("{\"userId\":", "{\"entity\":\"profile\",\"key\":");
    let all: Keyed = by_key(&(users + &others));
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_string);
    let name = |key: &str| {
        let key: Value = serde_json::from_str(&format!("{key}}}")).expect("a key");
        let escaped = |part: &Value| part.as_str().expect("a text").replace('%', "%25").replace(':', "%3A");
        let id = match &key["key"] {
            Value::Array(parts) => parts.iter().map(escaped).collect::<Vec<_>>().join(":"),
            one => one.as_str().expect("a text").to_string(),
        };
        let entity = key["entity"].as_str().expect("a name");
        format!("{}:{id}", if entity == "item" { "i" } else { entity })
    };
    let tags = |tags: serde_json::Map<String, Value>| tags.iter().map(|(code, v)| (code.clone(), text(v))).collect();
    all.into_iter().map(|(key, of)| (name(&key), tags(of))).collect()
}

/// Waits until Redis shows what the log says, and no key more.
fn agrees(world: &World, redis: &mut redis::Connection, told: &str) {
    let mut last = String::new();
    let whole = || {
        let (found, wanted) = (shown(redis), wanted(world));
        let differ = found.keys().chain(wanted.keys()).find(|key| found.get(*key) != wanted.get(*key));
        let now = differ.map(|key| format!("{key}: {:?} is not {:?}", found.get(key), wanted.get(key)));
        if let Some(now) = now.as_ref().filter(|now| **now != last) {
            eprintln!("{told}: {now}");
            last.clone_from(now);
        }
        now.is_none()
    };
    wait_until(told, SOON, whole);
}

#[test]
fn redis_shows_base_and_tail_and_what_the_base_does_not_have_leaves_it() {
    let Some(server) = Server::start() else { return };
    let (world, mut redis) = (World::keyed(21, 4), server.client());
    let command = format!("stream --store {} --state s", server.url());
    let mut stream = world.dir.start(&command);
    // It begins with the second of four days; one user and one item the log has never heard of.
    let ghost = (world.today - 2) * DAY + 5;
    let ghost = format!(
        "{{\"eventId\":\"ghost\",\"userId\":\"ghost\",\"eventType\":\"click\",\"timestamp\":{},\"itemId\":\"ghost\",\"receivedAt\":{ghost}}}\n",
        ghost + 200_000
    );
    stream.feed(world.lines(1..4) + &ghost);
    wait_until("the stream", SOON, || hget(&mut redis, "ghost", "clicks").as_deref() == Some("1"));
    wait_until("a checkpoint", SOON, || counts(&world.dir.file("s"))[0] > 0);
    for (day, told) in [(0, "a base behind the tail"), (2, "a newer one")] {
        let said = world.base(day, "");
        assert!(said.code == 0 && said.stderr.contains("the stream that owns the store"), "{}", said.stderr);
        if day == 2 {
            agrees(&world, &mut redis, told);
        }
    }
    // Killed while it takes one in, and begun again: what it was fed since comes again, too.
    let mut random = Random(17);
    for round in 0..4 {
        late(&world, round);
        let said = world.base(2, "");
        assert_eq!(said.code, 0, "{}", said.stderr);
        std::thread::sleep(Duration::from_millis(random.below(1300)));
        stream.signal("KILL");
        stream.end();
        if round == 2 {
            // Nothing is left of what was published: all is told again.
            let _: () = redis::cmd("FLUSHALL").query(&mut redis).expect("answered");
        }
        stream = world.dir.start(&command);
        stream.feed(world.lines(2..4));
        agrees(&world, &mut redis, &format!("killed, {round}"));
    }
    end(stream);
    agrees(&world, &mut redis, "ended");
    // Without a stream the base is put into the state; who is told of it is the next stream.
    late(&world, 4);
    assert!(world.base(2, "").stderr.contains(" installed: "));
    let stream = world.dir.start(&command);
    agrees(&world, &mut redis, "a late file in the log");
    end(stream);
}

/// One more file in the log, of a day that a base has: each base is another one.
fn late(world: &World, n: i64) {
    let received = (world.today - 1) * DAY + n;
    let line = format!(
        "{{\"eventId\":\"late{n}\",\"userId\":\"u1\",\"eventType\":\"click\",\"timestamp\":{received},\"itemId\":\"new{n}\",\"receivedAt\":{received}}}\n"
    );
    world.dir.write(&format!("log/dt={}/late-{n}.ndjson", world.name(2)), line);
}

fn end(stream: Running) {
    stream.signal("TERM");
    assert_eq!(stream.end().0, 0);
}

const WINDOW: &str = "[[tag]]\ncode = \"clicks_1d\"\nvalue = \"count(*)\"\nwindow = \"1d\"\nresolution = \"10s\"\n";

/// A count that Redis shows and no checkpoint has, of an event that is over and covered by a base when it is read again.
#[test]
fn what_was_published_before_a_kill_does_not_stay_when_a_base_covers_it() {
    let (Some(broker), Some(server)) = (broker(), Server::start()) else { return };
    let world = World::new(22, 2);
    world.dir.write("adprof.toml", WINDOW);
    let mut redis = server.client();
    for attempt in 0..10 {
        let topic = create_topic(&broker, "silent", 1);
        let state = format!("s{attempt}");
        let command = format!("stream -b {broker} -t {topic} --store {} --state {state}", server.url());
        // Of yesterday, at most: its window ends ten seconds from now, or twenty.
        let (old, ts) = (now() - 3 * DAY / 2, now() / 10_000 * 10_000 + 20_000 - DAY);
        let user = format!("v{attempt}");
        let line = |id: &str, ts: i64| {
            format!(
                "{{\"eventId\":\"{id}\",\"userId\":\"{user}\",\"eventType\":\"click\",\"timestamp\":{ts},\"receivedAt\":{ts}}}\n"
            )
        };
        let day = |ts: i64| adprof::time::show_day((ts / DAY) as i32);
        world.dir.write(&format!("log/dt={}/{user}-old.ndjson", day(old)), line("old", old));
        world.dir.write(&format!("log/dt={}/{user}.ndjson", day(ts)), line("new", ts));
        produce(&broker, &topic, &keyed(&line("old", old)));
        world.dir.adprof(&format!("{command} -e")).exits(0);
        produce(&broker, &topic, &keyed(&line("new", ts)));
        let stream = world.dir.start(&command);
        let shows = |redis: &mut redis::Connection, n: &str| hget(redis, &user, "clicks_1d").as_deref() == Some(n);
        wait_until("it shows", SOON, || shows(&mut redis, "1"));
        stream.signal("KILL");
        stream.end();
        if counts(&world.dir.file(&state))[0] > 1 {
            eprintln!("the checkpoint was faster");
            continue;
        }
        let lock =
            fs::File::options().write(true).open(world.dir.file(&format!("{state}/writer.lock"))).expect("there");
        lock.lock().expect("locked");
        let args = format!("batch --log log --through {} --store file:{state}", day(ts));
        assert!(world.dir.adprof(&args).exits(0).stderr.contains("the stream that owns the store"));
        drop(lock);
        std::thread::sleep(Duration::from_millis((ts + DAY - now()).max(0) as u64));
        let stream = world.dir.start(&command);
        wait_until("it fell", SOON, || shows(&mut redis, "0"));
        end(stream);
        return;
    }
    eprintln!("skipped: the checkpoint was faster each time");
}
