//! Each cell has the people that DuckDB counts, given what the cell says of itself.

use crate::support::python;
use crate::world::{AS_OF, cells, random, told};
use serde_json::{Value, json};
use std::process::Command;

const COUNT: &str = r#"
import duckdb, json, sys
db = duckdb.connect()
db.execute("""CREATE TABLE p AS SELECT
    tags.age::BIGINT age, tags.level::BIGINT level, tags.city::VARCHAR city, tags.ltv::DECIMAL(18,6) ltv,
    tags.score::DOUBLE score, tags.vip::BOOLEAN vip, tags.seen::BIGINT seen, tags.likes likes,
    tags.counts counts
    FROM read_json(?, format='newline_delimited', columns={'userId': 'VARCHAR', 'asOf': 'BIGINT',
        'tags': 'STRUCT(age BIGINT, level BIGINT, city VARCHAR, ltv DECIMAL(18,6), score DOUBLE, vip BOOLEAN, seen BIGINT,
                        likes VARCHAR[], counts MAP(VARCHAR, BIGINT))'})""", [sys.argv[1]])
for line in open(sys.argv[2], encoding='utf-8'):
    where, args = json.loads(line)
    print(db.execute("SELECT count(*) FROM p WHERE " + where, args).fetchone()[0])
"#;

/// A condition of DuckDB that is true of the people of a cell, with its arguments; `None` for `other`.
fn condition(tag: &str, cell: &Value) -> Option<(String, Vec<Value>)> {
    let value = || vec![cell["value"].clone()];
    Some(match cell["kind"].as_str().expect("a kind") {
        "value" => (format!("{tag} = ?"), value()),
        "item" => (format!("list_contains({tag}, ?)"), value()),
        "key" => (format!("list_contains(map_keys({tag}), ?)"), value()),
        "missing" => (format!("{tag} IS NULL"), vec![]),
        "interval" => {
            // An age is told by the hour, as it was when the hour had begun.
            let n = if tag == "seen" { format!("floor(({AS_OF} - seen) / 3600000) * 3600000") } else { tag.into() };
            let mut parts = vec![format!("{tag} IS NOT NULL")];
            for (end, sign) in [("from", ">="), ("below", "<")] {
                if !cell[end].is_null() {
                    parts.push(format!("{n} {sign} {}", cell[end]));
                }
            }
            (parts.join(" AND "), vec![])
        }
        _ => return None,
    })
}

const RULES: [(&str, &str); 6] = [
    ("adults", "age >= 18"),
    ("vips", "vip"),
    ("seniors", "age >= 60"),
    ("oslo", "city = 'Oslo'"),
    ("minors", "age < 18"),
    ("everybody", "TRUE"),
];

#[test]
fn every_cell_has_the_people_that_duckdb_counts() {
    let Some(python) = python() else { return };
    for seed in 1..=3 {
        let dir = random(seed, 1500);
        dir.adprof(&format!("export --format ndjson --as-of {AS_OF} -o profiles.ndjson")).exits(0);
        let (mut asked, mut wanted) = (String::new(), Vec::new());
        for (i, (code, rule)) in RULES.iter().enumerate() {
            for (base, base_rule) in [("all", "TRUE"), RULES[(i + seed as usize) % RULES.len()]] {
                for min in [0, 10] {
                    for line in told(&dir, &format!("{code} --against {base} --min-cell {min}")) {
                        let tag = line["tag"].as_str().expect("a code");
                        for cell in cells(&line) {
                            let Some((condition, args)) = condition(tag, cell) else { continue };
                            for (rule, count) in [(rule, &cell["count"]), (&base_rule, &cell["base"])] {
                                asked += &json!([format!("({rule}) AND ({condition})"), args]).to_string();
                                asked.push('\n');
                                wanted.push((format!("{code} {base} {tag} {cell}"), count.as_u64().expect("a count")));
                            }
                        }
                    }
                }
            }
        }
        dir.write("asked", asked);
        let out = Command::new(&python)
            .args(["-c", COUNT, "profiles.ndjson", "asked"])
            .current_dir(dir.path())
            .output()
            .expect("Python runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let counted: Vec<u64> =
            String::from_utf8_lossy(&out.stdout).lines().map(|line| line.parse().expect("a count")).collect();
        assert_eq!(counted.len(), wanted.len());
        assert!(counted.len() > 500, "{}", counted.len());
        for (counted, (cell, told)) in counted.iter().zip(&wanted) {
            assert_eq!(counted, told, "seed {seed}: {cell}");
        }
    }
}
