//! Laws of entities in definition files, as rows of (file, outcome).

use super::*;
use crate::time::{DAY, HOUR};

fn parse(text: &str) -> Definitions {
    Definitions::parse(text, "adprof.toml").unwrap_or_else(|problems| {
        panic!("{text}\n{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    })
}

const COUNT: &str = "[[tag]]\ncode = 't'\nentity = 'item'\nvalue = 'count(*)'\n";

fn item(rest: &str) -> String {
    format!("[[entity]]\nname = 'item'\n{rest}\n{COUNT}")
}

#[test]
fn users_come_first_and_a_tag_names_its_entity() {
    let text = format!(
        "[[entity]]\nname = 'item'\nkey = 'itemId'\n[[entity]]\nname = 'minute'\nkey = ['category', \"tumble(timestamp, '1m')\"]\nprefix = 'm'\nretain = '7d'\n{COUNT}{}{}",
        "[[tag]]\ncode = 'u'\nentity = 'profile'\nvalue = 'count(*)'\n",
        "[[tag]]\ncode = 'm'\nentity = 'minute'\nvalue = 'count(*)'\n"
    );
    let definitions = parse(&text);
    let entities: Vec<_> = definitions.entities.iter().map(|e| (&*e.name, &*e.prefix, e.width())).collect();
    assert_eq!(entities, [("user", "profile", 1), ("item", "item", 1), ("minute", "m", 2)]);
    assert_eq!(definitions.tags.iter().map(|tag| tag.entity).collect::<Vec<_>>(), [1, 0, 2]);
    for (name, place) in
        [("user", Some(0)), ("userId", Some(0)), ("profile", Some(0)), ("minute", Some(2)), ("m", None)]
    {
        assert_eq!(definitions.entity(name), place, "{name}");
    }
    // A tag without a window gets the one that its entity remembers.
    let window = |tag: usize| match &definitions.tags[tag].kind {
        Kind::Aggregation(aggregation) => aggregation.window,
        _ => None,
    };
    assert_eq!((window(0), window(2)), (None, Some(Window::sliding(7 * DAY, HOUR))));
}

/// Every row: a file, and its problems as `line:column: message / hint`.
#[test]
fn every_mistake_is_told_with_its_place() {
    let key = "key = 'itemId'\n";
    for (text, want) in [
        ("[[entity]]\nname = 'item'\n".to_string(), "2:1: an entity needs `key`"),
        ("[[entity]]\nkey = 'itemId'\n".to_string(), "2:1: an entity needs `name`"),
        (item("key = 7"), "3:7: `key` takes a string or a list of strings, not integer"),
        (item("key = []"), "3:7: `key` is empty / name at least one expression over the event"),
        (item("key = 'itmId'"), "3:8: unknown field: itmId / did you mean itemId?"),
        (
            item("key = ['itemId', 'amount']"),
            "3:19: a part of a key is a string, an int, a bool or a datetime, not decimal / convert it with CAST",
        ),
        (
            item("key = 'as_of()'"),
            "3:8: as_of() stands in a derived tag only / an aggregation sees one event, not the instant it is looked at; use `window`",
        ),
        (
            item("key = \"concat(itemId, hop(timestamp, '1m', '1m'))\""),
            "3:23: a slice of time inside an expression: hop / it stands in the `key` of an entity, as a whole part of it",
        ),
        (item("key = \"tumble(timestamp)\""), "3:8: `tumble` takes 2 arguments: an instant, a span such as '1m'"),
        (
            item("key = \"tumble(category, '1m')\""),
            "3:15: `tumble` takes an instant, not string / tumble(timestamp, …)",
        ),
        (item("key = \"tumble(timestamp, 60)\""), "3:26: `tumble` takes a span in quotes, such as '5m'"),
        (
            item("key = \"tumble(timestamp, '1x')\""),
            "3:26: not a span: \"1x\" (write 90s, 15m, 1h, 7d; units ms s m h d w)",
        ),
        (item("key = \"hop(timestamp, '1h', '7m')\""), "3:29: a step of 7m does not divide the slice of 1h"),
        (item("key = \"hop(timestamp, '1h', '2h')\""), "3:29: a step of 2h does not divide the slice of 1h"),
        (item("key = \"hop(timestamp, '1001s', '1s')\""), "3:32: more than 1000 slices hold each instant: 1001"),
        (item("key = 'category[]'"), "3:8: `category` has one value, not an array of them / leave `[]` away: category"),
        (
            item("key = 'a..b[]'"),
            "3:8: not a path: \"a..b\" / `[]` stands behind the path of a JSON array: properties.tags[]",
        ),
        (
            item(&format!("{key}retain = '7 d'")),
            "4:11: not a span: \"7 d\" (write 90s, 15m, 1h, 7d; units ms s m h d w) / write a span such as 36h, 7d or 30d",
        ),
        (
            item(&format!("{key}retain = '25h1m'")),
            "4:11: 1501m is not a whole number of its steps of 1h / a window of this length moves in such steps; take a rounder one",
        ),
        (
            item(&format!("{key}retain = '10001d'")),
            "4:11: `retain` of more than 10000 days / leave `retain` out to remember for ever",
        ),
        (
            item(&format!("{key}prefix = 'a b'")),
            "4:11: a prefix is made of letters, digits, `_`, `.` and `-` and begins with a letter or `_`: \"a b\"",
        ),
        (
            item(&format!("{key}prefix = 'profile'")),
            "4:11: the prefix `profile` is taken: names that begin with it are of entity `user` / name another one with `prefix`",
        ),
        (
            item(&format!("{key}prefix = 't'")),
            "4:11: the prefix `t` is taken: names that begin with it are of tenants / name another one with `prefix`",
        ),
        (
            "[[entity]]\nname = 'adprof'\nkey = 'itemId'\n".to_string(),
            "2:9: the prefix `adprof` is taken: names that begin with it are of adprof's own tokens / name another one with `prefix`",
        ),
        (
            "[[entity]]\nname = 'userId'\nkey = 'itemId'\n".to_string(),
            "2:9: `userId` is the entity of users / it is there without being declared, with userId for its key",
        ),
        (
            "[[entity]]\nname = 'a'\nkey = 'itemId'\n[[entity]]\nname = 'a'\nkey = 'category'\n".to_string(),
            "5:9: duplicate entity: a",
        ),
        (
            "[[entity]]\nname = 'a'\nkey = 'itemId'\n[[entity]]\nname = 'b'\nkey = 'category'\nprefix = 'a'\n"
                .to_string(),
            "7:11: the prefix `a` is taken: names that begin with it are of entity `a` / name another one with `prefix`",
        ),
        (COUNT.to_string(), "3:11: unknown entity: item / declare it: [[entity]] name = \"item\" key = \"…\""),
        (COUNT.replace("'item'", "'usr'"), "3:11: unknown entity: usr / did you mean user?"),
        (
            item(&format!("{key}\n[[tag]]\ncode = 'd'\nvalue = 't + 1'\n")),
            "7:10: a derived tag names tags of its own entity only: t is of item, this tag of user / give both tags the same `entity`",
        ),
    ] {
        let problems = Definitions::parse(&text, "adprof.toml").expect_err(&text);
        let got: Vec<String> = problems
            .iter()
            .map(|p| {
                let hint = p.hint.as_ref().map_or(String::new(), |hint| format!(" / {hint}"));
                format!("{}:{}: {}{hint}", p.line, p.column, p.message)
            })
            .collect();
        assert_eq!(got, [want], "{text}");
    }
}

#[test]
fn no_tag_looks_further_back_than_its_entity_remembers() {
    for (retain, rest, legal) in [
        ("7d", "value = 'count(*)'\nwindow = '7d'", true),
        ("7d", "value = 'count(*)'\nwindow = '8d'", false),
        ("7d", "value = 'count(*)'\nwindow = '7d'\nresolution = '1d'", true),
        // In finer steps an event counts a little longer than the key is there.
        ("7d", "value = 'count(*)'\nwindow = '7d'\nresolution = '30m'", false),
        ("7d", "value = 'count(*)'\nwindow = '166h'\nresolution = '1m'", true),
        ("7d", "value = 'count(*)'\nwindow = '167h30m'\nresolution = '30m'", false),
        ("7d", "value = 'count(*)'\nwindow = '7 days'", true),
        ("7d", "value = 'count(*)'\nwindow = 'week'", true),
        ("7d", "value = 'count(*)'\nwindow = '8 days'", false),
        ("7d", "value = 'count(*)'\nwindow = '2 weeks'", false),
        ("7d", "value = 'count(*)'\nwindow = 'month'", false),
        ("31d", "value = 'count(*)'\nwindow = 'month'", true),
        // A week may have an hour more where clocks change.
        ("7d", "value = 'count(*)'\nwindow = 'week'\ntz = 'Europe/Berlin'", false),
        ("170h", "value = 'count(*)'\nwindow = 'week'\ntz = 'Europe/Berlin'", true),
        ("7d", "value = \"decayed(amount, '1h')\"", true),
        ("7d", "value = \"decayed(amount, '7d')\"", false),
    ] {
        let text = format!(
            "[[entity]]\nname = 'e'\nkey = 'itemId'\nretain = '{retain}'\n[[tag]]\ncode = 't'\nentity = 'e'\n{rest}"
        );
        match Definitions::parse(&text, "adprof.toml") {
            Ok(_) => assert!(legal, "{text}"),
            Err(problems) => {
                assert!(
                    !legal && problems[0].message.contains("further back than `e` remembers"),
                    "{text}\n{}",
                    problems[0]
                );
                assert_eq!(problems[0].line, if rest.contains("window") { 9 } else { 8 }, "{text}");
            }
        }
    }
}

#[test]
fn what_an_entity_is_belongs_to_the_meaning_of_its_tags() {
    let print = |text: &str| parse(text).tags.last().expect("one").fingerprint;
    let base = item("key = 'itemId'");
    // Pinned: a state out there is kept under it.
    assert_eq!(format!("{:016x}", print(&base)), "7079e0ae2d925a46");
    assert_eq!(print(&item("key = [' (itemId) ']\nprefix = 'i'")), print(&base));
    let user = base.replace("entity = 'item'\n", "");
    let mut prints = vec![print(&user), print(&base)];
    for other in [
        item("key = 'category'"),
        item("key = ['itemId', 'category']"),
        item("key = 'itemId[]'").replace("itemId[]", "ids[]"),
        item("key = \"tumble(timestamp, '1m')\""),
        item("key = \"hop(timestamp, '1m', '30s')\""),
        item("key = 'timestamp'"),
        item("key = 'itemId'\nretain = '7d'"),
        item("key = 'itemId'\nretain = '8d'"),
        base.replace("'item'", "'thing'"),
    ] {
        prints.push(print(&other));
    }
    let distinct: std::collections::HashSet<u64> = prints.iter().copied().collect();
    assert_eq!(distinct.len(), prints.len());
    // The same for what is derived, and imported.
    for rest in ["value = 't * 2'", "update = 'import'\ntype = 'int'"] {
        let of = |key: &str| print(&format!("{}[[tag]]\ncode = 'd'\nentity = 'item'\n{rest}\n", item(key)));
        assert_ne!(of("key = 'itemId'"), of("key = 'category'"), "{rest}");
    }
    let hidden = |retain: &str| {
        let definitions = parse(&item(&format!("key = 'itemId'\nretain = '{retain}'")));
        let retain = definitions.entities[1].retain.expect("it has one");
        // A tag that counts every event of as long a window means the same.
        assert_eq!(retain.fingerprint, definitions.tags[0].fingerprint);
        retain.fingerprint
    };
    assert_ne!(hidden("7d"), hidden("8d"));
}
