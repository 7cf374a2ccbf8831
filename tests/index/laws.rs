//! Random rules over random profiles with missing values: index, scan and DuckDB find the same users, before and after
//! changes, refreshed or not.

use crate::random::{self, Random};
use crate::store::{AS_OF, DEFINITIONS, fill, filled};
use crate::support::Dir;
use crate::{agree, by_index, by_scan, duckdb};
use adprof::key::Key;
use adprof::profiles::index::{Fault, Unused};
use adprof::profiles::{AsOf, Profiles};
use adprof::segment::Rule;
use adprof::store::Location;
use adprof::tag::Definitions;

const USERS: usize = 400;

/// Opens the store of a folder.
pub fn open(dir: &Dir, definitions: &str, as_of: AsOf) -> Profiles {
    let definitions = Definitions::parse(definitions, "test").expect("well formed");
    Profiles::open(&Location::Embedded(dir.file("adprof-store")), Some(definitions), as_of).expect("opened")
}

fn build(profiles: &Profiles) {
    profiles.build_index(0, false, &mut |_| ()).expect("built");
}

fn rules(random: &mut Random, n: usize, segments: &random::Segments) -> Vec<random::Pair> {
    (0..n).map(|_| random::rule(random, 0, segments)).collect()
}

#[test]
fn random_rules_find_by_the_index_whom_a_scan_and_duckdb_find() {
    for seed in [0xad_0006, 0xad_0007] {
        random_rules(seed, 420);
    }
}

/// Three times so many rules: of a fresh index, of one that some users have changed after, and of a refreshed one.
fn random_rules(seed: u64, number: usize) {
    let mut random = Random::new(seed);
    let patches: Vec<String> = (0..USERS).map(|i| random::patch(&mut random, i)).collect();
    let dir = filled(&patches.iter().map(String::as_str).collect::<Vec<_>>());
    let segments = random::Segments::some(&mut random, 12);
    let text = format!("{DEFINITIONS}{}", segments.definitions());
    let at = |profiles: &mut Profiles, when: &str, random: &mut Random| {
        let rules = rules(random, number, &segments);
        let (mut looked_up, mut found) = (0, 0);
        for (i, pair) in rules.iter().enumerate() {
            let rule = match i % 2 {
                0 => Rule::from_sql(&pair.sql, "test", profiles.definitions()),
                _ => Rule::from_json(&pair.json, "test", profiles.definitions()),
            };
            let rule = rule.unwrap_or_else(|e| panic!("seed {seed:x}: {e}: {}", pair.sql));
            looked_up += agree(profiles, &rule, &format!("seed {seed:x}, {when}"));
            found += by_scan(profiles, &rule).members.len();
        }
        assert!(found > number * USERS / 20, "rules that find nobody prove little: {found}");
        looked_up as f64 / (number * USERS) as f64
    };
    let mut profiles = open(&dir, &text, AsOf::At(AS_OF));
    build(&profiles);
    let share = at(&mut profiles, "fresh", &mut random);
    assert!(share < 0.15, "the index leaves too much to be looked up: {share}");

    // Values that change, are removed, come anew; users that are new, and one that has nothing left.
    let changed: Vec<String> = (0..60).map(|i| random::patch(&mut random, i * 7)).collect();
    let removed: Vec<String> = (0..20)
        .map(|i| format!(r#"{{"userId":"u-{:04}","asOf":{AS_OF},"tags":{{"age":null,"city":null}}}}"#, i * 11))
        .collect();
    let gone = r#"{"userId":"u-0005","asOf":1731296325000,"tags":{"age":null,"city":null,"ltv":null,"score":null,"vip":null,"seen":null}}"#;
    let new: Vec<String> = (0..30).map(|i| random::patch(&mut random, USERS + i)).collect();
    let early = [r#"{"userId":"a","asOf":1731296325000,"tags":{"age":3,"city":"Oslo"}}"#.to_string(), gone.to_string()];
    let all = changed.iter().chain(&removed).chain(&new).chain(&early);
    fill(&dir, &all.map(String::as_str).collect::<Vec<_>>());
    let share = at(&mut profiles, "changed", &mut random);
    assert!((0.2..0.5).contains(&share), "{share}");
    build(&profiles);
    let refreshed = at(&mut profiles, "refreshed", &mut random);
    assert!(refreshed < 0.15, "{refreshed}");
    assert_eq!(
        profiles.check_index(0, &mut |_| (), &mut |fault| panic!("{fault:?}")).expect("read").expect("one").faults,
        0
    );

    let Some(python) = crate::support::python() else { return };
    dir.adprof("export -o all.ndjson --scan").ok();
    let rules = rules(&mut random, 200, &segments);
    let queries: String =
        rules.iter().map(|rule| serde_json::to_string(&rule.duckdb).expect("a string") + "\n").collect();
    dir.write("rules.ndjson", queries);
    let wanted = duckdb::members(&python, dir.path(), "all.ndjson", "rules.ndjson");
    for (pair, want) in rules.iter().zip(wanted) {
        let rule = Rule::from_sql(&pair.sql, "test", profiles.definitions()).expect("well formed");
        let (found, _) = by_index(&profiles, &rule).expect("an index");
        let found: Vec<&str> = found.members.iter().map(|key| key.id()).collect();
        assert_eq!(found, want, "seed {seed:x}: {}", pair.sql);
    }
}

const NESTED: &str = r#"
[[tag]]
code = "langs"
type = "list<string>"
update = "import"
[[tag]]
code = "sizes"
type = "list<decimal>"
update = "import"
[[tag]]
code = "per"
type = "map<int>"
update = "import"
[[tag]]
code = "note"
type = "string"
update = "import"
"#;

/// Conditions of every kind that columns are asked in, and of those that they are not.
const CONDITIONS: &[&str] = &[
    "contains(langs, 'sv')",
    "NOT contains(langs, 'sv')",
    "contains(langs, 'nobody')",
    "contains(langs, city)",
    "contains(langs, NULL) OR age = 3",
    "NOT (contains(langs, NULL) OR age = 3)",
    "contains(sizes, 1.5)",
    "contains(sizes, 2)",
    "len(langs) = 2",
    "langs IS NULL",
    "langs IS NOT NULL AND per IS NULL",
    "per IS NOT NULL OR sizes IS NULL",
    "age + 1 > 3",
    "10 - age >= 7",
    "-age < -3",
    "age > ltv",
    "5 BETWEEN age AND 10",
    "5 IN (age, 4)",
    "age IN (3, NULL)",
    "age NOT IN (3, NULL)",
    "age BETWEEN NULL AND 4",
    "NOT age BETWEEN NULL AND 4",
    "age BETWEEN 4 AND 2",
    "age = NULL",
    "age = 1 AND NULL",
    "TRUE",
    "1 = 2 OR age > 2",
    "age > 2.5",
    "age >= 2.000001",
    "ltv >= 3",
    "ltv > 2.25",
    "ltv = 2.25",
    "ltv <> 2.25",
    "ltv < -1",
    "ltv <= -2.5 OR ltv >= 1000000000000000000",
    "ltv - 1 > as_of() - as_of()",
    "ltv > 0.1 + score",
    "score > -0.5",
    "score = 0",
    "score <= 0.25 AND score >= -0.25",
    "score + 1 > ltv",
    "CAST(ltv AS BIGINT) = 2",
    "CAST(ltv AS DOUBLE) > 2.2",
    "CAST(age AS VARCHAR) = '3'",
    "age * 2 > 5",
    "vip",
    "NOT vip",
    "vip IS TRUE",
    "vip IS NOT FALSE",
    "(age > 3) IS NULL",
    "(age > 3) IS NOT NULL AND (vip IS NULL)",
    "(age > 3 AND vip) IS NOT TRUE",
    "(age > 3 OR ltv > age) IS FALSE",
    "COALESCE(age, 7) > 5",
    "COALESCE(city, 'none') = 'none'",
    "LOWER(city) LIKE '%o'",
    "city > 'M'",
    "city || 'x' = 'Oslox'",
    "city = note",
    "city IS NULL AND note IS NULL",
    "seen > as_of() - 5000",
    "as_of() - seen < 5000",
    "seen > ago('5s') AND NOT seen > ago('2s')",
    "as_of() > seen",
    "as_of() - seen + age > 3000",
    "age / 0 = 1",
    "LENGTH(note) > 100",
    "note LIKE 'n1%'",
];

#[test]
fn conditions_of_every_kind_are_answered_as_a_scan_does() {
    let mut random = Random::new(99);
    let mut patches = Vec::new();
    for i in 0..300 {
        let mut tags = Vec::new();
        let mut put = |code: &str, value: String, random: &mut Random| {
            if random.below(4) > 0 {
                tags.push(format!("\"{code}\":{value}"));
            }
        };
        let signed = |n: u64| n as i64 - 8;
        put("age", signed(random.below(16)).to_string(), &mut random);
        put("ltv", format!("{}", signed(random.below(16)) as f64 * 0.75), &mut random);
        put("score", format!("{}", signed(random.below(16)) as f64 / 8.0), &mut random);
        put("vip", (random.below(2) == 0).to_string(), &mut random);
        put("city", format!("\"{}\"", random.pick(&["Oslo", "oslo", "Malmö", "sv"])), &mut random);
        put("seen", (AS_OF - random.below(10) as i64 * 1000).to_string(), &mut random);
        let lists = ["[]", "[\"sv\"]", "[\"en\",\"sv\"]", "[\"sv\",\"sv\"]", "[null,\"en\"]", "{\"a\":1}", "\"sv\""];
        put("langs", random.pick(&lists).to_string(), &mut random);
        put("sizes", random.pick(&["[1.5]", "[2,3]", "[2.0]", "[]"]).to_string(), &mut random);
        put("per", "{\"a\":1}".to_string(), &mut random);
        // So many different texts, and so long, that the column gives up.
        put("note", format!("\"n{}{}\"", random.below(300), "x".repeat(6000)), &mut random);
        tags.push("\"unknown\":1".to_string());
        patches.push(format!(r#"{{"userId":"u-{i:04}","asOf":{AS_OF},"tags":{{{}}}}}"#, tags.join(",")));
    }
    // Values that are not of the type their definition declares, and the ends of every type.
    for (i, tags) in [
        r#""age":[1],"vip":{"a":1},"city":[2],"score":[3],"seen":{"b":2},"ltv":[]"#,
        r#""age":9223372036854775807,"ltv":99999999999999999999999999999999.999999,"score":1.7976931348623157e308"#,
        r#""age":-9223372036854775808,"ltv":-99999999999999999999999999999999.999999,"score":-1.7976931348623157e308"#,
    ]
    .into_iter()
    .enumerate()
    {
        patches.push(format!(r#"{{"userId":"x-{i}","asOf":{AS_OF},"tags":{{{tags}}}}}"#));
    }
    let dir = filled(&patches.iter().map(String::as_str).collect::<Vec<_>>());
    let mut profiles = open(&dir, &format!("{DEFINITIONS}{NESTED}"), AsOf::At(AS_OF));
    build(&profiles);
    for condition in CONDITIONS {
        for sql in [condition.to_string(), format!("NOT ({condition})"), format!("({condition}) IS NULL OR age = 1")] {
            let rule = Rule::from_sql(&sql, "test", profiles.definitions()).unwrap_or_else(|e| panic!("{sql}: {e}"));
            agree(&mut profiles, &rule, "all kinds");
        }
    }
    let check = profiles.check_index(0, &mut |_| (), &mut |fault| panic!("{fault:?}"));
    assert_eq!(check.expect("read").expect("one").compared, 303);
}

#[test]
fn more_users_than_a_block_has_are_listed_in_the_order_of_a_scan_new_ones_too() {
    let dir = crate::store::many(70_000);
    let mut profiles = open(&dir, DEFINITIONS, AsOf::At(AS_OF));
    let rule = Rule::from_sql("age < 60 AND NOT ltv > 400", "test", profiles.definitions()).expect("well formed");
    assert_eq!(by_index(&profiles, &rule).err(), Some(Unused::None));
    build(&profiles);
    assert_eq!(agree(&mut profiles, &rule, "two blocks"), 0);
    let new = ["u-0000000-a", "a", "u-0069999z", "u-0065535-"]
        .map(|id| format!(r#"{{"userId":"{id}","asOf":{AS_OF},"tags":{{"age":1,"ltv":2}}}}"#));
    fill(&dir, &new.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(agree(&mut profiles, &rule, "with new users"), 4);
    let built = profiles.build_index(0, false, &mut |_| ()).expect("built");
    // The new ones stand in the last block, and nothing else is written.
    assert_eq!((built.keys, built.new, built.blocks, built.written), (70_004, 4, 2, 1));
    assert_eq!(agree(&mut profiles, &rule, "refreshed"), 0);
}

#[test]
fn definitions_that_mean_something_else_are_not_answered_by_columns_of_before() {
    let dir = filled(&[
        r#"{"userId":"u-1","asOf":5,"tags":{"age":9}}"#,
        r#"{"userId":"u-2","asOf":5,"tags":{"age":11,"ltv":2.5}}"#,
    ]);
    build(&open(&dir, DEFINITIONS, AsOf::At(AS_OF)));
    let texts = DEFINITIONS.replace("code = \"age\"\ntype = \"int\"", "code = \"age\"\ntype = \"string\"");
    let mut profiles = open(&dir, &texts, AsOf::At(AS_OF));
    let rule = Rule::from_sql("age > '9'", "test", profiles.definitions()).expect("well formed");
    assert_eq!(agree(&mut profiles, &rule, "other definitions"), 2);
    let mut faults = Vec::new();
    let check = profiles.check_index(0, &mut |_| (), &mut |fault| faults.push(fault.flaw.name()));
    assert_eq!((check.expect("read").expect("one").left, &faults[..]), (2, &["other definitions"][..]));
    build(&profiles);
    assert_eq!(agree(&mut profiles, &rule, "refreshed"), 0);
}

#[test]
fn an_instant_that_a_patch_is_newer_than_is_refused_as_a_scan_refuses_it() {
    let dir = filled(&[r#"{"userId":"u-1","asOf":5000,"tags":{"age":9}}"#]);
    build(&open(&dir, DEFINITIONS, AsOf::At(AS_OF)));
    let profiles = open(&dir, DEFINITIONS, AsOf::At(4999));
    let snapshot = profiles.embedded_store().expect("embedded").snapshot().expect("a snapshot");
    let indexed = profiles.indexed(snapshot.index().expect("read"), 0).expect("read").expect("an index");
    let mut rule = Rule::from_sql("vip", "test", profiles.definitions()).expect("well formed");
    let found = adprof::segment::index::Members::find(&indexed, profiles.definitions(), &mut rule, 3);
    let error = found.err().expect("refused");
    assert!(error.message.contains("`age` of u-1 is known as of"), "{error}");
}

#[test]
fn an_index_that_is_removed_while_it_is_built_is_not_called_whole() {
    let dir = crate::store::many(70_000);
    let mut profiles = open(&dir, DEFINITIONS, AsOf::At(AS_OF));
    let rule = Rule::from_sql("age < 60", "test", profiles.definitions()).expect("well formed");
    let store = profiles.embedded_store().expect("embedded");
    for begins_again in [false, true] {
        let mut turns = 0;
        let built = profiles.build_index(0, false, &mut |_| {
            turns += 1;
            if turns == 1 {
                // One block of two.
                let half = by_index(&open(&dir, DEFINITIONS, AsOf::At(AS_OF)), &rule);
                assert_eq!(half.err(), Some(Unused::Unfinished));
                store.drop_index().expect("removed");
                if begins_again {
                    build(&open(&dir, DEFINITIONS, AsOf::At(AS_OF)));
                }
            }
        });
        assert_eq!(built.expect_err("removed").kind, adprof::store::Kind::Busy);
        assert_eq!(by_index(&profiles, &rule).err(), (!begins_again).then_some(Unused::None));
        store.drop_index().expect("removed");
    }
    build(&profiles);
    agree(&mut profiles, &rule, "built in peace");
}

#[test]
fn the_check_names_values_profiles_numbers_and_users_that_the_index_has_otherwise() {
    let users = |range: std::ops::Range<usize>, age: usize| -> Vec<String> {
        range.map(|i| format!(r#"{{"userId":"u-{i}","asOf":{AS_OF},"tags":{{"age":{age},"city":"Oslo"}}}}"#)).collect()
    };
    let put = |dir: &Dir, lines: &[String]| fill(dir, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let dir = Dir::new();
    put(&dir, &users(0..6, 20));
    let profiles = open(&dir, DEFINITIONS, AsOf::At(AS_OF));
    build(&profiles);
    let store = profiles.embedded_store().expect("embedded");
    let faults = || {
        let mut faults = Vec::new();
        let told = &mut |fault: Fault| {
            faults.push((fault.flaw.name(), fault.key.map(|key| key.id().to_string()), fault.tag));
        };
        let checked = profiles.check_index(0, &mut |_| (), told).expect("read").expect("an index");
        assert_eq!(checked.faults, faults.len() as u64);
        faults
    };
    assert_eq!(faults(), []);
    // Written, and the marks taken away: as a program would leave it that forgets to mark.
    put(&dir, &users(1..2, 33));
    put(&dir, &[format!(r#"{{"userId":"u-2","asOf":{AS_OF},"tags":{{"age":null,"city":null}}}}"#)]);
    put(&dir, &users(7..8, 20));
    assert_eq!(faults(), [], "what is marked is looked up");
    let key = |id: &str| Key::user("", id);
    store
        .index(|index| {
            ["u-1", "u-2", "u-7"].iter().try_for_each(|id| index.unmark(key(id).as_str()))?;
            index.number(&key("u-4"), 9)
        })
        .expect("changed");
    let of = |id: &str| Some(id.to_string());
    let want = [
        ("presence", of("u-2"), None),
        ("number", of("u-4"), None),
        ("value", of("u-1"), Some(0)),
        ("value", of("u-2"), Some(0)),
        ("value", of("u-2"), Some(1)),
        ("unknown key", of("u-7"), None),
    ];
    assert_eq!(faults(), want);
}
