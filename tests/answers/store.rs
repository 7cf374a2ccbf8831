//! Stores with known profiles in them, embedded and in Redis, and the definitions they are read with.

use crate::support::{Dir, redis};
use adprof::patch::Patch;
use adprof::store::redis::Patience;
use adprof::store::{Embedded, Location, Redis};
use std::fmt::Write as _;

/// One imported tag of each type, and one more string.
pub const DEFINITIONS: &str = r#"
[[tag]]
code = "age"
type = "int"
update = "import"
[[tag]]
code = "city"
type = "string"
update = "import"
[[tag]]
code = "ltv"
type = "decimal"
update = "import"
[[tag]]
code = "score"
type = "double"
update = "import"
[[tag]]
code = "vip"
type = "bool"
update = "import"
[[tag]]
code = "seen"
type = "datetime"
update = "import"
"#;

/// The number of the Redis database that is filled here; only ever with the same profiles.
const DATABASE: u32 = 14;

pub const AS_OF: i64 = 1_731_296_325_000;

/// A folder with definitions and an embedded store of these patches.
pub fn filled(patches: &[&str]) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    fill(&dir, patches);
    dir
}

/// Puts patches into the embedded store of a folder.
pub fn fill(dir: &Dir, patches: &[&str]) {
    let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
    let patches: Vec<Patch> = patches.iter().map(|line| Patch::parse(line).expect(line)).collect();
    store.apply_patches(&patches).expect("applied");
}

const THREE: [&str; 3] = [
    r#"{"userId":"u-001","asOf":1731296325000,"tags":{"age":31,"city":"Malmö","ltv":150.75,"score":0.5,"vip":true,"seen":1731296325000}}"#,
    r#"{"userId":"u-002","asOf":1731296325001,"tags":{"age":17,"city":"=1+1","vip":false}}"#,
    r#"{"userId":"u-003","asOf":1731296325002,"tags":{"extra":[1,2]}}"#,
];

/// Three users: one with all tags, one with some, one with none of the definitions.
pub fn three() -> Dir {
    filled(&THREE)
}

/// The same three in a database of the tests' Redis that nobody else uses.
pub fn three_in_redis() -> Option<String> {
    let url = format!("{}/{DATABASE}", redis()?);
    let Ok(Location::Redis(location)) = Location::parse(&url) else { panic!("not Redis: {url}") };
    let mut redis = Redis::connect(&location, Patience::default()).expect("connected");
    let patches: Vec<Patch> = THREE.iter().map(|line| Patch::parse(line).expect(line)).collect();
    redis.apply(&patches).expect("written");
    Some(url)
}

/// Many users with a decimal tag each, enough for a command to take its time.
pub fn many(users: usize) -> Dir {
    let mut lines = Vec::with_capacity(users);
    for i in 0..users {
        let mut line = String::new();
        let _ =
            write!(line, r#"{{"userId":"u-{i:07}","asOf":{AS_OF},"tags":{{"age":{},"ltv":{}.5}}}}"#, i % 90, i % 500);
        lines.push(line);
    }
    filled(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}
