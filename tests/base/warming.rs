//! Tags that are not whole yet are told as such, until a base or their window makes them whole.

use super::world::{DAY, World};
use crate::streams::now;

const ONE: &str = "[[tag]]\ncode = \"clicks\"\nvalue = \"count(*)\"\nwhere = \"eventType = 'click'\"\n";
const MORE: &str = "[[tag]]\ncode = \"spent\"\nvalue = \"sum(amount)\"\n\
    [[tag]]\ncode = \"spent_10m\"\nvalue = \"sum(amount)\"\nwindow = \"10m\"\n\
    [[tag]]\ncode = \"rich\"\nvalue = \"spent > 10\"\n";

#[test]
fn a_tag_that_the_base_lacks_is_warming_until_a_base_has_it() {
    let world = World::new(9, 3);
    world.dir.write("adprof.toml", ONE);
    assert_eq!(world.base(1, "").code, 0);
    world.dir.write("adprof.toml", format!("{ONE}{MORE}"));
    let since = (world.today) * DAY - 1;
    let said = world.stream(&world.lines(0..3));
    let told = format!(
        "spent counts events received since {} only, until a base through {}",
        adprof::time::show(since),
        world.name(1)
    );
    assert!(said.stderr.contains("warning: tags that are warming: ") && said.stderr.contains(&told), "{}", said.stderr);
    // What is derived from it is not whole either; what was there before is.
    let output = world.dir.adprof("query -v --store file:s --origin u1").exits(0);
    let flag = format!("\"spent\":{{\"since\":{since},\"base\":\"{}\",\"until\":null}}", world.name(1));
    assert!(output.stdout.contains(&flag) && output.stdout.contains("\"rich\":{\"since\""), "{}", output.stdout);
    assert!(!output.stdout.contains("\"clicks\":{\"since\""), "{}", output.stdout);
    assert!(output.stderr.contains("warming: spent counts events received since"), "{}", output.stderr);
    assert_eq!(world.dir.adprof("query --store file:s u1").exits(0).stderr, "");
    let text = world.dir.adprof("explain u1 spent --store file:s --format text").ok();
    assert!(text.contains("warming     counts events received since"), "{text}");
    let json = world.dir.adprof("explain u1 spent --store file:s --json").ok();
    assert!(json.contains(&format!("\"warming\":{{\"since\":{since},")), "{json}");
    // The same day again, with the tag.
    assert_eq!(world.base(1, "").code, 0);
    let output = world.dir.adprof("query -v --store file:s --origin u1").exits(0);
    assert!(output.stdout.contains("\"warming\":{}"), "{}", output.stdout);
    assert!(!world.stream("").stderr.contains("warming"));
    let as_of = now() + 400_000;
    let batch = world.dir.adprof(&format!("batch --log log --tags all --as-of {as_of}")).ok();
    let tags = ["clicks", "spent", "spent_10m", "rich"];
    let expected = crate::streams::profiles(&batch, &tags);
    let found = crate::streams::query(&world.dir, &format!("--store file:s --as-of {as_of}"), expected.keys().cloned());
    crate::streams::assert_same(&crate::streams::profiles(&found, &tags), &expected);
}

#[test]
fn a_new_tag_of_a_running_state_is_warming_until_its_window_is_full() {
    let world = World::new(10, 1);
    world.dir.write("adprof.toml", ONE);
    world.stream(&world.lines(0..1));
    world.dir.write("adprof.toml", format!("{ONE}{MORE}"));
    let before = now();
    assert!(world.stream("").stderr.contains("are warming: spent counts"));
    let at = |t: i64| world.dir.adprof(&format!("query --store file:s --origin --as-of {t} u1")).ok();
    // The window's ten minutes, and five that an event may be ahead of its receipt.
    assert!(at(before + 14 * 60_000).contains("\"spent_10m\":{\"since\""));
    let later = at(now() + 15 * 60_000 + 1000);
    assert!(!later.contains("\"spent_10m\":{\"since\"") && later.contains("\"spent\":{\"since\""), "{later}");
    // A tag that was left out for a while begins anew.
    world.dir.write("adprof.toml", MORE);
    world.stream("");
    world.dir.write("adprof.toml", format!("{ONE}{MORE}"));
    assert!(world.stream("").stderr.contains("are warming: clicks counts"));
}

const ITEMS: &str = "[[entity]]\nname = \"item\"\nkey = \"itemId\"\nretain = \"30h\"\n\
    [[tag]]\nentity = \"item\"\ncode = \"item_events\"\nvalue = \"count(*)\"\n";
const USERS: &str = "[[tag]]\nentity = \"item\"\ncode = \"item_users\"\nvalue = \"count(DISTINCT userId)\"\n";

#[test]
fn a_base_that_lacks_tags_of_an_entity_is_passed_over_and_they_are_warming_of_its_keys_only() {
    let world = World::keyed(13, 3);
    world.dir.write("adprof.toml", format!("{ONE}{ITEMS}{USERS}"));
    world.stream(&world.lines(2..3));
    // Made without a tag that the state counts, and then without its entity; what the file has is no part of the state.
    for (definitions, lacking) in
        [(format!("{ONE}{ITEMS}"), "item_users"), (ONE.to_string(), "item_events, item_users")]
    {
        world.dir.write("other.toml", definitions);
        let refused = world.base(1, "-d other.toml");
        let why = format!("the base through {} is passed over: it lacks {lacking}; make it with", world.name(1));
        assert!(refused.code == 2 && refused.stderr.contains(&why), "{}", refused.stderr);
    }
    let warming = |id: &str, entity: &str| {
        let origin = world.dir.adprof(&format!("query --store file:s --origin --entity {entity} {id}")).ok();
        origin.rsplit_once("\"warming\":").expect("an origin").1.to_string()
    };
    world.dir.write("adprof.toml", format!("{ONE}{ITEMS}{USERS}").replace("30h", "40h"));
    // The meaning of each of its tags is another one now.
    let said = world.stream("");
    assert!(
        said.stderr.contains("are warming: item_events counts") && said.stderr.contains("; item_users counts"),
        "{}",
        said.stderr
    );
    let told = warming("i1", "item");
    assert!(told.contains("\"item_events\":{\"since\"") && told.contains("\"item_users\":{\"since\""), "{told}");
    assert_eq!(warming("u1", "user"), "{}}}\n");
    assert_eq!(world.base(1, "").code, 0);
    assert!(warming("i1", "item").contains("item_events"), "what came today is known in part only");
}
