//! Stores of profiles that are hard to write, and what an export of them has in it.

use crate::support::Dir;
use adprof::patch::Patch;
use adprof::store::Embedded;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

/// One imported tag of each kind of type, and segments.
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
[[tag]]
code = "likes"
type = "list<string>"
update = "import"
[[tag]]
code = "sums"
type = "list<decimal>"
update = "import"
[[tag]]
code = "counts"
type = "map<int>"
update = "import"
[[tag]]
code = "days"
type = "map<list<int>>"
update = "import"
[[segment]]
code = "adults"
name = "Grown \"ups\""
rule = "age >= 18"
[[segment]]
code = "vips"
rule = "vip"
[[segment]]
code = "drafts"
status = "draft"
rule = "city IS NULL"
"#;

/// Users with all that may be in one.
const HARD: [&str; 9] = [
    r#"{"userId":"u-001","asOf":1731296325000,"tags":{"age":31,"city":"Malmö","ltv":150.75,"score":0.5,"vip":true,"seen":1731296325000,"likes":["a","b"],"sums":[1.5,2],"counts":{"x":1,"y":-2},"days":{"mon":[1,2],"sun":[]}}}"#,
    r#"{"userId":"u-002","asOf":1731296325001,"tags":{"age":17,"city":"=1+1","vip":false,"likes":[],"counts":{}}}"#,
    r#"{"userId":"u-003","asOf":1731296325002,"tags":{"extra":[1,2]}}"#,
    r#"{"userId":"a,\"b\"","asOf":1,"tags":{"city":"two\nlines, \"quoted\"","ltv":-0.000001,"score":-2.5e-9,"likes":["",null,"c,\"d\""]}}"#,
    r#"{"userId":"Anna@Example.org","asOf":1,"tags":{"age":-7,"city":"日本 \ud83d\ude00","ltv":9223372036854.775807,"vip":true}}"#,
    r#"{"userId":" padded ","asOf":1,"tags":{"age":9223372036854775807,"city":"","ltv":-9223372036854.775807,"score":1e300}}"#,
    r#"{"userId":"u-004","asOf":1,"tags":{"age":-9223372036854775808,"city":"a/b=c%","score":0,"seen":-1,"sums":[null,0.000001]}}"#,
    r#"{"userId":"u-005","asOf":1,"tags":{"city":"__HIVE_DEFAULT_PARTITION__","ltv":5,"score":-5,"days":{"a":[null],"b":[],"c":[7]}}}"#,
    r#"{"userId":"u-006","asOf":1,"tags":{"city":"..","counts":{"":0,"k=v":9}}}"#,
];

/// Those, in a store of their own.
pub fn hard() -> Dir {
    filled(HARD.iter().map(|line| (*line).to_string()))
}

/// So many users with an age below 97, a city of seven and a value each.
pub fn many(users: usize) -> Dir {
    filled((0..users).map(|n| {
        let (age, city) = (n * 7919 % 97, n * 31 % 7);
        format!(
            r#"{{"userId":"u-{n:07}","asOf":1,"tags":{{"age":{age},"city":"c{city}","ltv":{n}.{city}5,"vip":{}}}}}"#,
            n % 3 == 0
        )
    }))
}

/// So many users with values by chance: missing or not, nested ones empty, with nothing in them, or deep.
pub fn random(seed: u64, users: usize) -> Dir {
    let mut dice = Dice(seed);
    filled((0..users).map(|n| {
        let mut tags = Vec::new();
        for code in ["age", "city", "ltv", "vip", "likes", "sums", "counts", "days"] {
            if dice.roll(4) == 0 {
                continue;
            }
            let value = match code {
                "age" => dice.roll(1 << 40).to_string(),
                "city" => dice.text(),
                "ltv" => dice.decimal(),
                "vip" => (dice.roll(2) == 0).to_string(),
                "likes" => dice.list(Dice::text),
                "sums" => dice.list(Dice::decimal),
                "counts" => dice.map(|dice| dice.roll(9).to_string()),
                _ => dice.map(|dice| dice.list(|dice| dice.roll(9).to_string())),
            };
            tags.push(format!("\"{code}\":{value}"));
        }
        format!("{{\"userId\":\"u-{n:04}\",\"asOf\":1,\"tags\":{{{}}}}}", tags.join(","))
    }))
}

/// Chance that a seed decides: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn text(&mut self) -> String {
        let texts = ["", "a", "null", "é\u{1F600}", "a,\"b\"", "\n", "[1]"];
        serde_json::to_string(texts[self.roll(texts.len() as u64) as usize]).expect("a text")
    }

    fn decimal(&mut self) -> String {
        let sign = if self.roll(2) == 0 { "-" } else { "" };
        format!("{sign}{}.{:05}1", self.roll(1 << 40), self.roll(100_000))
    }

    fn list(&mut self, mut item: impl FnMut(&mut Dice) -> String) -> String {
        let n = self.roll(4);
        let items: Vec<String> = (0..n).map(|_| if self.roll(5) == 0 { "null".into() } else { item(self) }).collect();
        format!("[{}]", items.join(","))
    }

    fn map(&mut self, mut value: impl FnMut(&mut Dice) -> String) -> String {
        let n = self.roll(4);
        let items: Vec<String> = (0..n)
            .map(|k| format!("\"k{k}\":{}", if self.roll(5) == 0 { "null".into() } else { value(self) }))
            .collect();
        format!("{{{}}}", items.join(","))
    }
}

fn filled(lines: impl Iterator<Item = String>) -> Dir {
    let dir = Dir::new();
    dir.write("adprof.toml", DEFINITIONS);
    let store = Embedded::create_or_open(&dir.file("adprof-store")).expect("a store");
    let patches: Vec<Patch> = lines.map(|line| Patch::parse(&line).expect(&line)).collect();
    store.apply_patches(&patches).expect("applied");
    dir
}

/// The names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The bytes of a file, unpacked.
pub fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut out = Vec::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out).map(drop).expect("gzip"),
        Some("zst") => out = zstd::decode_all(&bytes[..]).expect("zstd"),
        _ => out = bytes,
    }
    out
}

/// A manifest whose files are there, with the bytes and sums it says, and nothing else is.
pub fn checked(dir: &Path) -> Value {
    let text = fs::read_to_string(dir.join("_manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let (mut rows, mut known) = (0, BTreeSet::from(["_manifest.json".to_string()]));
    for file in manifest["files"].as_array().expect("files") {
        let name = file["name"].as_str().expect("a name");
        let bytes = fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut sum = String::new();
        for byte in Sha256::digest(&bytes) {
            write!(sum, "{byte:02x}").expect("written");
        }
        assert_eq!(
            (file["bytes"].as_u64(), file["sha256"].as_str()),
            (Some(bytes.len() as u64), Some(&*sum)),
            "{name}"
        );
        rows += file["rows"].as_u64().expect("rows");
        known.insert(name.to_string());
    }
    assert_eq!(manifest["rows"].as_u64(), Some(rows));
    assert_eq!(files(dir), known);
    manifest
}

/// The files of a folder and below, by their names there.
pub fn files(dir: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in names(dir) {
        let path = dir.join(&name);
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.insert(name);
        }
    }
    found
}
