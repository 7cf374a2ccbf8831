//! Stores of profiles by chance, with a tag of each kind and segments that lie to each other in every way.

use crate::support::Dir;
use adprof::patch::Patch;
use adprof::store::Embedded;
use serde_json::Value;

pub const AS_OF: i64 = 1_731_296_325_000;

pub const DEFINITIONS: &str = r#"
[[tag]]
code = "age"
type = "int"
update = "import"
[[tag]]
code = "level"
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
[[tag]]
code = "likes"
type = "list<string>"
update = "import"
[[tag]]
code = "counts"
type = "map<int>"
update = "import"
[[segment]]
code = "adults"
rule = "age >= 18"
[[segment]]
code = "seniors"
rule = "age >= 60"
[[segment]]
code = "minors"
rule = "age < 18"
[[segment]]
code = "vips"
rule = "vip"
[[segment]]
code = "oslo"
rule = "city = 'Oslo'"
[[segment]]
code = "nobody"
rule = "age < 0"
[[segment]]
code = "everybody"
rule = "age IS NULL OR age IS NOT NULL"
"#;

const CITIES: [&str; 9] = ["Oslo", "Malmö", "oslo", "it's", "100%", "a_b", "", "日本", "<script>alert(1)</script>"];

/// splitmix64
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn some<T>(&mut self, of: &[T], show: impl Fn(&T) -> String) -> Vec<String> {
        of.iter().filter(|_| self.below(3) == 0).map(show).collect()
    }

    fn value(&mut self, tag: &str) -> String {
        let quoted = |text: &&str| serde_json::to_string(text).expect("a string");
        match tag {
            "age" => self.below(90).to_string(),
            "level" => (self.below(4) * self.below(3)).to_string(),
            "city" => {
                let at = self.below(9).min(self.below(9));
                quoted(&CITIES[at as usize])
            }
            // Zero is frequent, and large ones are far apart.
            "ltv" if self.below(3) == 0 => "0".into(),
            "ltv" => {
                let size = 10u64.pow(self.below(5) as u32 + 1);
                format!("{}.{:02}", self.below(size), self.below(100))
            }
            "score" => format!("{}", self.below(4096) as f64 / 1024.0 - 1.0),
            "vip" => (self.below(5) == 0).to_string(),
            "seen" => (AS_OF - (self.below(1000) * self.below(10_000)) as i64 * 100_000).to_string(),
            "likes" => format!("[{}]", self.some(&["a", "b", "c\"<", "d"], quoted).join(",")),
            _ => {
                let members = self.some(&["x", "y", "z"], |key| format!("{}:1", quoted(key)));
                format!("{{{}}}", members.join(","))
            }
        }
    }
}

/// So many profiles; each tag is missing every fifth time.
pub fn random(seed: u64, people: usize) -> Dir {
    let mut dice = Dice(seed);
    let tags = ["age", "level", "city", "ltv", "score", "vip", "seen", "likes", "counts"];
    let lines = (0..people).map(|i| {
        let mut values = vec![format!("\"extra\":{i}")];
        for tag in tags {
            if dice.below(5) > 0 {
                values.push(format!("\"{tag}\":{}", dice.value(tag)));
            }
        }
        format!("{{\"userId\":\"u-{i:05}\",\"asOf\":{AS_OF},\"tags\":{{{}}}}}", values.join(","))
    });
    filled(lines)
}

/// A store of these lines, and definitions.
pub fn filled(lines: impl Iterator<Item = String>) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    let patches: Vec<Patch> = lines.map(|line| Patch::parse(&line).expect(&line)).collect();
    let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
    store.apply_patches(&patches).expect("applied");
    dir
}

/// What `segment insight ARGS` writes as NDJSON.
pub fn told(dir: &Dir, args: &str) -> Vec<Value> {
    let out = dir.adprof(&format!("segment insight --as-of {AS_OF} --format ndjson {args}")).ok();
    out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The line of a tag.
pub fn tag<'a>(lines: &'a [Value], code: &str) -> &'a Value {
    lines.iter().find(|line| line["tag"] == code).unwrap_or_else(|| panic!("no {code}"))
}

pub fn cells(line: &Value) -> &[Value] {
    line["cells"].as_array().expect("cells")
}
