//! What an engine cannot say is refused at the definition that asks for it, with exit code 78; never printed otherwise.

use crate::support::Dir;

#[test]
fn a_refusal_names_the_place_the_engine_and_the_reason() {
    let dir = Dir::new();
    for (engine, tag, words) in [
        (
            "clickhouse",
            "code = 'a'\nvalue = \"last(TRIM(category, 'é'))\"",
            "adprof compile: d.toml:3:10: TRIM in ClickHouse: it takes off bytes, not characters beyond ASCII\n  value = ",
        ),
        (
            "spark",
            "code = 'a'\nvalue = 'count(*)'\nwhere = 'category LIKE itemId'",
            "d.toml:4:10: LIKE in Spark: the pattern must be a constant",
        ),
        (
            "duckdb",
            "code = 'a'\nvalue = \"last(CAST(category AS DECIMAL))\"",
            "d.toml:3:10: CAST of a string to decimal in DuckDB: it reads or writes such a text in another way",
        ),
        ("flink", "code = 'a'\nvalue = 'last(ROUND(amount, -40))'", "d.toml:3:10: ROUND in Flink: "),
        ("duckdb", "code = 'a'\nvalue = 'top_k(category, 3)'", "d.toml:3:10: top_k in DuckDB: past `keep` values"),
        ("spark", "code = 'a'\nvalue = 'stddev(amount)'", "d.toml:3:10: stddev in Spark: its doubles are rounded"),
        ("duckdb", "code = 'a'\nvalue = 'approx_percentile(amount, 0.5)'", "approx_percentile in DuckDB: its sketch"),
        ("flink", "code = 'a'\nvalue = \"decayed(amount, '7d')\"", "decayed in Flink: its numbers are too short"),
        ("flink", "code = 'a'\nvalue = 'last_k(category, 3)'", "last_k in Flink: it does not sort"),
        (
            "clickhouse",
            "code = 'a'\nvalue = 'first_k(category, 3)'",
            "first_k in ClickHouse: it has no NULL for a list",
        ),
        ("duckdb", "code = 'a'\nvalue = 'sum(amount)'\nby = 'category'", "sum in DuckDB: a map of aggregates"),
        ("duckdb", "code = 'USERID'\nvalue = 'count(*)'", "d.toml:2:9: `USERID` is the column of the user in DuckDB"),
        (
            "spark",
            "code = 'n'\nvalue = 'count(*)'\n[[tag]]\ncode = 'N'\nvalue = 'count(*)'",
            "d.toml:5:9: `n` and `N` are one column in Spark",
        ),
        (
            "clickhouse",
            "code = 'a'\ntype = 'int'\nupdate = 'import'",
            "d.toml:2:9: `a` is imported: no event gives its values",
        ),
    ] {
        dir.write("d.toml", format!("[[tag]]\n{tag}\n"));
        let codes = if engine == "spark" && tag.contains("'N'") { "n,N" } else { "all" };
        let codes = if tag.contains("import") { "a" } else { codes };
        let line = format!("compile --to {engine} -d d.toml --tags {codes} --as-of 1731299925000");
        let output = dir.adprof(&line).exits(78);
        assert!(output.stderr.contains(words), "no {words:?} in:\n{}", output.stderr);
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn all_refusals_are_told_in_the_order_of_the_file() {
    let dir = Dir::new();
    let tag = |code: &str| format!("[[tag]]\ncode = '{code}'\nvalue = 'last(SUBSTRING(category, LENGTH(itemId)))'\n");
    dir.write("d.toml", tag("a") + &tag("b"));
    let output = dir.adprof("compile --to duckdb -d d.toml --tags all").exits(78);
    let lines: Vec<&str> = output.stderr.lines().filter(|line| line.contains("SUBSTRING in DuckDB")).collect();
    assert!(lines.len() == 2 && lines[0].contains("d.toml:3:10") && lines[1].contains("d.toml:6:10"), "{lines:?}");
}

#[test]
fn a_job_refuses_what_changes_by_time_alone_unless_there_is_an_instant() {
    let dir = Dir::new();
    let output = dir.adprof("compile --to flink --job --tags all").exits(78);
    assert!(
        output.stderr.contains("built-in:29:11: a window in Flink: its values change by time alone"),
        "{}",
        output.stderr
    );
    dir.adprof("compile --to flink --job --tags all --as-of 1731299925000").ok();
    dir.write(
        "d.toml",
        "[[tag]]\ncode = 'a'\nvalue = 'max(timestamp)'\n[[tag]]\ncode = 'b'\nvalue = 'a < as_of() - 5'\n",
    );
    let output = dir.adprof("compile --to flink --job -d d.toml --tags all").exits(78);
    assert!(output.stderr.contains("d.toml:6:10: as_of() in Flink"), "{}", output.stderr);
}

#[test]
fn what_was_typed_wrong_is_told_as_such() {
    let dir = Dir::new();
    for (line, words) in [
        ("compile --to duckdb --job", "--job: DuckDB runs a statement, not a job"),
        ("compile --to flink --job --from t", "a job of Flink reads a topic"),
        ("compile --to duckdb --log -", "SQL cannot read standard input"),
        ("compile --to duckdb --tags nope", "--tags: unknown tag: nope"),
        ("compile --to oracle", "oracle"),
        ("compile --to duckdb --from t --log x", "--log"),
        ("compile", "--to"),
    ] {
        let output = dir.adprof(line).exits(2);
        assert!(output.stderr.contains(words), "{line}: no {words:?} in:\n{}", output.stderr);
    }
}
