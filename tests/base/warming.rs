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
