//! People with known tags and a hidden rule: who lives in one city and comes often is enrolled, most times.

use crate::support::Dir;
use adprof::patch::Patch;
use adprof::store::Embedded;

pub const AS_OF: i64 = 1_731_296_325_000;

const DEFINITIONS: &str = r#"
[[tag]]
code = "card"
type = "bool"
update = "import"
[[tag]]
code = "card_twice"
value = "CASE WHEN card THEN 2 ELSE 0 END"
update = "daily"
[[tag]]
code = "city"
type = "string"
update = "import"
[[tag]]
code = "visits"
type = "int"
update = "import"
[[tag]]
code = "vip"
type = "bool"
update = "import"
[[tag]]
code = "likes"
type = "list<string>"
update = "import"
[[tag]]
code = "seen"
type = "datetime"
update = "import"
[[tag]]
code = "email"
type = "string"
update = "import"
[[tag]]
code = "never"
type = "double"
update = "import"
[[tag]]
code = "always"
type = "decimal"
update = "import"
[[segment]]
code = "carded"
rule = "card"
[[segment]]
code = "enrolled"
rule = "in_segment('carded')"
"#;

/// A number that looks random and is the same in every run.
pub fn hash(text: &str) -> u64 {
    let mut z = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

pub struct People {
    count: usize,
    seed: u64,
}

impl People {
    pub fn new(count: usize, seed: u64) -> People {
        People { count, seed }
    }

    pub fn ids(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(|i| format!("u-{i:05}"))
    }

    fn draw(&self, id: &str, what: &str, below: u64) -> u64 {
        hash(&format!("{} {id} {what}", self.seed)) % below
    }

    fn city(&self, id: &str) -> &'static str {
        ["Oslo", "Oslo", "Malmö", "Bergen", "Kiruna"][self.draw(id, "city", 5) as usize]
    }

    /// Heavy-tailed, from 1 to some thousands.
    fn visits(&self, id: &str) -> u64 {
        1 << self.draw(id, "visits", 12)
    }

    /// Whether the hidden rule is true of a user: some one in six.
    pub fn is_hidden(&self, id: &str) -> bool {
        self.city(id) == "Oslo" && self.visits(id) >= 128
    }

    fn is_enrolled(&self, id: &str) -> bool {
        self.draw(id, "enrolled", 100) < if self.is_hidden(id) { 50 } else { 1 }
    }

    fn patch(&self, id: &str) -> String {
        let card = self.is_enrolled(id);
        let mut tags = vec![format!(r#""card":{card}"#), format!(r#""card_twice":{}"#, if card { 2 } else { 0 })];
        // Each of these is missing at every tenth user.
        let mut put = |code: &str, value: String| {
            if self.draw(id, code, 10) != 7 {
                tags.push(format!("\"{code}\":{value}"));
            }
        };
        put("city", format!("\"{}\"", self.city(id)));
        put("visits", self.visits(id).to_string());
        put("vip", (self.draw(id, "is vip", 2) == 0).to_string());
        put("likes", ["[]", r#"["art"]"#, r#"["art","cars"]"#][self.draw(id, "what likes", 3) as usize].to_string());
        put("seen", (AS_OF - self.draw(id, "when seen", 1 << 32) as i64).to_string());
        put("email", format!("\"{id}@example.com\""));
        tags.push("\"always\":1.5".to_string());
        format!("{{\"userId\":\"{id}\",\"asOf\":{},\"tags\":{{{}}}}}", AS_OF - 1, tags.join(","))
    }

    /// A folder with definitions and a store of all of them.
    pub fn store(&self) -> Dir {
        stored(&self.ids().map(|id| self.patch(&id)).collect::<Vec<_>>(), usize::MAX)
    }

    /// The same, written in another order and in many transactions.
    pub fn shuffled(&self, seed: u64) -> Dir {
        let mut patches: Vec<String> = self.ids().map(|id| self.patch(&id)).collect();
        patches.sort_by_key(|patch| hash(&format!("{seed} {patch}")));
        stored(&patches, 100)
    }
}

fn stored(patches: &[String], at_once: usize) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
    let patches: Vec<Patch> = patches.iter().map(|line| Patch::parse(line).expect(line)).collect();
    for some in patches.chunks(at_once.min(patches.len())) {
        store.apply_patches(some).expect("applied");
    }
    dir
}
