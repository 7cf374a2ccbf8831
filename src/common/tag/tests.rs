//! Laws of definition files, as rows of (file, outcome).

use super::*;
use crate::time::{DAY, HOUR, MINUTE, SECOND};

fn tag(rest: &str) -> String {
    format!("[[tag]]\ncode = 't'\n{rest}\n")
}

fn parse(text: &str) -> Definitions {
    Definitions::parse(text, "adprof.toml").unwrap_or_else(|problems| {
        panic!("{text}\n{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn problems(text: &str) -> Vec<Problem> {
    Definitions::parse(text, "adprof.toml").expect_err(text)
}

#[test]
fn the_built_in_five_are_what_the_design_says() {
    let definitions = Definitions::built_in();
    let summary: Vec<(&str, Type, Update)> =
        definitions.tags.iter().map(|tag| (&*tag.code, tag.ty, tag.update)).collect();
    assert_eq!(
        summary,
        [
            ("clicks_1h_count", Type::Int, Update::Realtime),
            ("last_click_category", Type::String, Update::Realtime),
            ("last_active_ts", Type::Datetime, Update::Realtime),
            ("ltv_total", Type::Decimal, Update::Daily),
            ("segment_id", Type::String, Update::Daily),
        ]
    );
    let Kind::Aggregation(clicks) = &definitions.tags[0].kind else { panic!("an aggregation") };
    assert_eq!(clicks.window, Some(Window::sliding(HOUR, SECOND)));
    assert_eq!(clicks.filter.as_ref().map(Expr::canonical).as_deref(), Some("eventType = 'click'"));
    let Kind::Derived(segment) = &definitions.tags[4].kind else { panic!("derived") };
    assert_eq!((segment.inputs.as_slice(), definitions.order()), (&[3][..], &[4][..]));
    let fields: Vec<String> = definitions.projection.fields.iter().map(|field| field.path.join(".")).collect();
    assert_eq!(fields, ["eventType", "category", "timestamp", "amount"]);
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_caret() {
    let text = tag("value = \"sum(pirce)\"\n[[field]]\npath = 'price'\ntype = 'int'");
    assert_eq!(
        problems(&text)[0].to_string(),
        "adprof.toml:3:14: unknown field: pirce\n  value = \"sum(pirce)\"\n               ^^^^^\nhint: did you mean price?"
    );
}

/// Every row: a file, and its problems as `line:column: message / hint`.
#[test]
fn every_mistake_is_told_with_its_place() {
    let daily = "[[tag]]\ncode = 'a'\nvalue = 'count(*)'\nupdate = 'daily'\n";
    for (text, want) in [
        (tag(""), "2:8: tag `t` has no `value` / only a tag with update = \"import\" has none"),
        (tag("value = 'first_k(category, 0)'"), "3:28: `k` is from 1 to 100, not 0"),
        (tag("value = 'last_k(category, 101)'"), "3:27: `k` is from 1 to 100, not 101"),
        (tag("value = 'last_k(category, 2.5)'"), "3:27: `k` is a whole number from 1 to 100, not 2.5"),
        (tag("value = 'top_k(category, amount)'"), "3:26: `k` is the same for every event, not an expression over it"),
        (tag("value = 'top_k(category)'"), "3:16: `top_k` takes 2 arguments, a value and k, not 1"),
        (
            tag("value = 'approx_percentile(amount, 1.5)'"),
            "3:36: `p` is a number from 0 to 1, not 1.5 / the median is 0.5",
        ),
        (tag("value = 'approx_percentile(category, 0.5)'"), "3:28: `approx_percentile` takes a number, not string"),
        (
            tag("value = \"decayed(amount, '7x')\""),
            "3:26: not a span: \"7x\" (write 90s, 15m, 1h, 7d; units ms s m h d w) / write a span such as '7d', '12h' or '90s'",
        ),
        (
            tag("value = \"decayed(amount, '900ms')\""),
            "3:26: a half-life of 900ms does not divide into 8 steps of whole milliseconds / a whole number of seconds does",
        ),
        (
            tag("value = 'decayed(amount, 7)'"),
            "3:26: a half-life is a span of time, not 7 / write a span such as '7d', '12h' or '90s'",
        ),
        (
            tag("value = \"decayed(amount, '7d')\"\nwindow = '1h'"),
            "4:10: `decayed` has no `window` / its half-life says how far back it looks",
        ),
        (tag("value = 'histogram(category)'\nkeep = 10001"), "4:8: `keep` is from 1 to 10000, not 10001"),
        (tag("value = 'histogram(category)'\nkeep = 0"), "4:8: `keep` is from 1 to 10000, not 0"),
        (
            tag("value = 'count(*)'\nkeep = 5"),
            "4:8: `count` keeps no values: it has no `keep` / it says how many different values `by`, `top_k` and `histogram` keep",
        ),
        (tag("value = 'count(*)'\nby = 'catgory'"), "4:7: unknown field: catgory / did you mean category?"),
        (
            tag("value = 'count(*)'\nby = 'as_of()'"),
            "4:7: as_of() stands in a derived tag only / an aggregation sees one event, not the instant it is looked at; use `window`",
        ),
        (
            tag("value = 'count(*)'\nby = 'category'\ntype = 'int'"),
            "5:9: the value is map<int>, not int / write type = \"map<int>\", or convert with CAST in `value`: count(*)",
        ),
        (tag("value = 'cuont(*)'"), "3:10: unknown function: cuont / did you mean count?"),
        (
            tag("value = 'sum(amount) / count(*)'"),
            "3:10: an aggregation inside an expression: sum / make a tag of each aggregation, and a derived tag that calculates with them",
        ),
        (tag("value = 'sum(category)'"), "3:14: `sum` takes a number, not string"),
        (
            tag("value = 'last(properties.colour)'"),
            "3:15: unknown field: properties.colour / declare it: [[field]] path = \"properties.colour\" type = \"string\" (or another type)",
        ),
        (tag("value = 'max(*)'"), "3:10: `max` takes no `*`"),
        (tag("value = 'count()'"), "3:10: `count` takes 1 argument / count(*) counts every event"),
        (tag("value = 'sum(DISTINCT amount)'"), "3:10: `sum` takes no DISTINCT"),
        (
            tag("value = 'sum(count(*))'"),
            "3:14: an aggregation inside an expression: count / this expression sees one event; aggregate in `value`, at the top",
        ),
        (
            tag("value = 'last(as_of())'"),
            "3:15: as_of() stands in a derived tag only / an aggregation sees one event, not the instant it is looked at; use `window`",
        ),
        (
            tag("value = 'amount * 2'"),
            "3:10: a derived tag sees tags, not fields of the event: amount / aggregate it: last(amount)",
        ),
        (tag("value = 't + 1'"), "3:10: a tag depends on itself: t → t"),
        (
            tag("value = 'count(*)'\nwhere = 'amount'"),
            "4:10: `where` takes a condition, not decimal / compare it with something: eventType = 'click'",
        ),
        (
            tag("value = 'count(*)'\nwhere = \"evenType = 'click'\""),
            "4:10: unknown field: evenType / did you mean eventType?",
        ),
        (
            tag("value = 'count(*)'\nwhere = '''\neventType = 'a'\n  AND amuont > 5'''"),
            "6:7: unknown field: amuont / did you mean amount?",
        ),
        (
            tag("value = 'count(*)'\nwindow = '1x'"),
            "4:11: not a window: \"1x\" / a span such as 90s, 15m, 1h or 7d slides; \"day\", \"week\", \"month\", \"7 days\" or \"3 months\" go by the calendar of `tz`",
        ),
        (
            tag("value = 'count(*)'\nwindow = '1h'\nresolution = '7s'"),
            "5:15: a resolution of 7s does not divide the window of 1h / set `resolution` to a span that goes into the window a whole number of times",
        ),
        (
            tag("value = 'count(*)'\nwindow = '61m30s'"),
            "4:11: a resolution of 1m does not divide the window of 3690s / set `resolution` to a span that goes into the window a whole number of times",
        ),
        (
            tag("value = 'count(*)'\nwindow = '1d'\nresolution = '1s'"),
            "5:15: a window of 1d in steps of 1s has 86400 panes, more than 10000 / make `resolution` coarser",
        ),
        (tag("value = 'count(*)'\nresolution = '1s'"), "4:14: `resolution` without `window`"),
        (tag("value = 'count(*)'\ntz = 'UTC'"), "4:6: `tz` without `window`"),
        (tag("value = 'count(*)'\nwindow = '0s'"), "4:11: a span must be longer than nothing: \"0s\""),
        (
            tag("value = 'count(*)'\nwindow = '1h'\nresolution = 'day'"),
            "5:15: not a span: \"day\" (write 90s, 15m, 1h, 7d; units ms s m h d w)",
        ),
        (tag("value = 'count(*)'\nwindow = '7days'"), "4:11: not a window: \"7days\" / did you mean \"7 days\"?"),
        (tag("value = 'count(*)'\nwindow = '1 day'"), "4:11: not a window: \"1 day\" / did you mean \"day\"?"),
        (tag("value = 'count(*)'\nwindow = '1 days'"), "4:11: not a window: \"1 days\" / did you mean \"day\"?"),
        (
            tag("value = 'count(*)'\nwindow = '03 Month'"),
            "4:11: not a window: \"03 Month\" / did you mean \"3 months\"?",
        ),
        (tag("value = 'count(*)'\nwindow = 'weak'"), "4:11: not a window: \"weak\" / did you mean \"week\"?"),
        (tag("value = 'count(*)'\nwindow = 'days'"), "4:11: not a window: \"days\" / did you mean \"day\"?"),
        (
            tag("value = 'count(*)'\nwindow = '10001 days'"),
            "4:11: a window of more than 10000 days / take a longer unit, or no `window` for the whole life of the user",
        ),
        (
            tag("value = 'count(*)'\nwindow = '99999999999999999999 weeks'"),
            "4:11: a window of more than 10000 weeks / take a longer unit, or no `window` for the whole life of the user",
        ),
        (
            tag("value = 'count(*)'\nwindow = 'day'\nresolution = '1h'"),
            "5:15: a calendar window has no `resolution`: it moves day by day / leave it out; a span such as 7d slides in steps of a `resolution`",
        ),
        (
            tag("value = 'count(*)'\nwindow = 'day'\ntz = 'Europe/Berln'"),
            "5:7: unknown time zone: Europe/Berln / did you mean Europe/Berlin?",
        ),
        (
            tag("value = 'count(*)'\nwindow = 'day'\ntz = 'Sao Paulo'"),
            "5:7: unknown time zone: Sao Paulo / did you mean America/Sao_Paulo?",
        ),
        (
            tag("value = 'count(*)'\nwindow = 'day'\ntz = '+02:00'"),
            "5:7: unknown time zone: +02:00 / write a name such as UTC or Europe/Berlin, of the IANA time zone database",
        ),
        (
            tag("value = 'count(*)'\nwindow = 'day'\ntz = 'Etc/Unknown'"),
            "5:7: unknown time zone: Etc/Unknown / write a name such as UTC or Europe/Berlin, of the IANA time zone database",
        ),
        (
            tag("value = 'count(*)'\nwindow = '7d'\ntz = 'Europe/Berlin'"),
            "5:7: `tz` belongs to a calendar window: \"7d\" is the same in every zone / for local days write window = \"7 days\"",
        ),
        (
            tag("value = 'count(*)'\nwindow = '24h'\ntz = 'Europe/Berlin'"),
            "5:7: `tz` belongs to a calendar window: \"24h\" is the same in every zone / for local days write window = \"day\"",
        ),
        (
            tag("value = 'count(*)'\ntype = 'string'"),
            "4:9: the value is int, not string / write type = \"int\", or convert with CAST in `value`: count(*)",
        ),
        (tag("value = 'count(*)'\ntype = 'strng'"), "4:9: unknown type: strng / did you mean string?"),
        (
            tag("value = 'count(*)'\nupdate = 'nightly'"),
            "4:11: unknown update: nightly / it is one of: realtime, daily, import",
        ),
        (tag("value = 'count(*)'\nwhree = 'x'"), "4:1: unknown key in a tag: whree / did you mean where?"),
        (tag("value = 7"), "3:9: `value` takes a string, not integer"),
        (tag("update = 'import'"), "2:8: an imported tag needs `type`: t"),
        (
            tag("update = 'import'\ntype = 'int'\nvalue = 'count(*)'"),
            "5:9: an imported tag has no `value`: its values come as patches",
        ),
        ("[[tag]]\nvalue = 'count(*)'".to_string(), "2:1: a tag needs `code`"),
        ("[[tag]]\ncode = '9a'\nvalue = 'count(*)'".to_string(), "2:9: a code begins with a letter: \"9a\""),
        (
            "[[tag]]\ncode = 'a b'\nvalue = 'count(*)'".to_string(),
            "2:10: a code is made of letters, digits, `_`, `.` and `-`: \"a b\"",
        ),
        (
            "[[tag]]\ncode = 'order'\nvalue = 'count(*)'".to_string(),
            "2:9: reserved word in SQL: order / another name, such as order_tag, can be written in SQL without quotes",
        ),
        (format!("{daily}{daily}"), "6:9: duplicate code: a / it stands in line 2 too"),
        (format!("{daily}{}", tag("update = 'daily'\nvalue = 'aa + 1'")), "8:10: unknown tag: aa / did you mean a?"),
        (
            format!("{daily}{}", tag("update = 'daily'\nvalue = 'a + 1'\nwindow = '1h'")),
            "9:10: a derived tag has no `window` / put it into the tags that this one names",
        ),
        (
            format!("{daily}{}", tag("update = 'daily'\nvalue = 'a + 1'\ntz = 'UTC'")),
            "9:6: a derived tag has no `tz` / put it into the tags that this one names",
        ),
        (
            tag("update = 'import'\ntype = 'int'\ntz = 'UTC'"),
            "5:6: an imported tag has no `tz`: its values come as patches",
        ),
        (
            "[[tag]]\ncode='x'\nvalue='y'\n[[tag]]\ncode='y'\nvalue='1 + z'\n[[tag]]\ncode='z'\nvalue='x'".to_string(),
            "3:8: a tag depends on itself: x → y → z → x",
        ),
        (
            "[[field]]\npath = 'amount'\ntype = 'int'".to_string(),
            "2:9: `amount` is a field of every event: it needs no declaration",
        ),
        ("[[field]]\npath = 'a..b'\ntype = 'int'".to_string(), "2:9: not a path: \"a..b\""),
        (
            "[[field]]\npath = 'a'\ntype = 'int'\n[[field]]\npath = 'a'\ntype = 'int'".to_string(),
            "5:9: duplicate field: a",
        ),
        ("[tag]\ncode = 'a'".to_string(), "1:1: `tag` is a list of tables / write [[tag]]"),
        (
            "event_types = []".to_string(),
            "1:15: `event_types` is empty: every event would be refused / without `event_types` every type is legal",
        ),
        ("event_types = ['a', 1]".to_string(), "1:21: `event_types` takes strings, not integer"),
        ("stroe = 'x'".to_string(), "1:1: unknown key in the file: stroe / did you mean store?"),
    ] {
        let found: Vec<String> = problems(&text)
            .iter()
            .map(|p| {
                let hint = p.hint.as_ref().map_or(String::new(), |hint| format!(" / {hint}"));
                format!("{}:{}: {}{hint}", p.line, p.column, p.message)
            })
            .collect();
        assert_eq!(found, [want], "{text}");
    }
}

#[test]
fn what_is_not_toml_is_told_where() {
    for text in ["[[tag]\n", "a = ", "a = 'x\n", "= 1", "\u{feff}x", "a = \"\\q\""] {
        let found = problems(text);
        assert!(found[0].message.starts_with("not TOML: "), "{text}: {}", found[0]);
        assert!(found[0].line >= 1 && found[0].column >= 1);
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "stroe = 'x'\n[[tag]]\ncode = 'a'\nvalue = 'sum(pirce)'\nwhere = 'amuont > 1'\n[[tag]]\ncode = 'b'\nvalue = 'a + 1'\n[[tag]]\ncode = 'c'\nvalue = 'nope'\n";
    let lines: Vec<usize> = problems(text).iter().map(|p| p.line).collect();
    // `b` only suffers from `a`: nothing is wrong with itself.
    assert_eq!(lines, [1, 4, 5, 11]);
}

#[test]
fn derived_tags_come_after_what_they_name_however_they_stand() {
    let chain: String = (0..1000)
        .rev()
        .map(|i| {
            format!(
                "[[tag]]\ncode = 'c{i}'\nvalue = '{}'\n",
                if i == 0 { "count(*)".into() } else { format!("c{} + 1", i - 1) }
            )
        })
        .collect();
    let definitions = parse(&chain);
    assert_eq!(definitions.order().first(), Some(&998));
    assert_eq!(definitions.order().last(), Some(&0));
    assert!(definitions.needed(&[0]).iter().all(|needed| *needed));
    assert_eq!(definitions.needed(&[998]).iter().filter(|needed| **needed).count(), 2);
}

#[test]
fn a_lineage_holds_each_tag_once_behind_one_that_names_it() {
    let text = "[[tag]]\ncode='d'\nvalue='b + c'\n[[tag]]\ncode='c'\nvalue='a + n'\n[[tag]]\ncode='b'\nvalue='a * 2'\n\
                [[tag]]\ncode='a'\nvalue='n + 1'\n[[tag]]\ncode='n'\nvalue='count(*)'\n[[tag]]\ncode='x'\nvalue='count(*)'";
    let definitions = parse(text);
    let of = |code: &str| -> Vec<(usize, String)> {
        let lineage = definitions.lineage(definitions.index(code).expect("defined"));
        lineage.into_iter().map(|(depth, tag)| (depth, definitions.tags[tag].code.to_string())).collect()
    };
    let told = |rows: &[(usize, &str)]| rows.iter().map(|(depth, code)| (*depth, code.to_string())).collect::<Vec<_>>();
    assert_eq!(of("d"), told(&[(0, "d"), (1, "b"), (2, "a"), (3, "n"), (1, "c")]));
    assert_eq!(of("x"), told(&[(0, "x")]));
}

#[test]
fn what_was_written_comes_back_by_key_in_the_order_of_the_schema() {
    let definitions = parse(
        "[[tag]]\nwindow = '60m'\ncode = 'a'\nwhere = \"\"\"\neventType = 'a'\n  OR amount > 1\"\"\"\nvalue = 'COUNT( * )'\nquality = { min = 1 }\n[[tag]]\ncode = 'b'\nvalue = 'a'",
    );
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();
    let written = |tag| definitions.written(tag).into_iter().map(|(k, v)| (k.to_string(), v)).collect::<Vec<_>>();
    let condition = "eventType = 'a'\n  OR amount > 1";
    assert_eq!(written(0), text(&[("code", "a"), ("value", "COUNT( * )"), ("where", condition), ("window", "60m")]));
    assert_eq!(written(1), text(&[("code", "b"), ("value", "a")]));
}

#[test]
fn selecting_by_code_pulls_in_what_it_depends_on() {
    let definitions = Definitions::built_in();
    let selected = definitions.select(["segment_id"]).expect("known");
    assert_eq!(definitions.needed(&selected), [false, false, false, true, true]);
    assert_eq!(definitions.by_update(Update::Realtime), [0, 1, 2]);
    let unknown = definitions.select(["ltv_totl"]).expect_err("unknown");
    assert_eq!(
        (unknown.to_string().as_str(), unknown.hint().as_deref()),
        ("unknown tag: ltv_totl", Some("did you mean ltv_total?"))
    );
}

#[test]
fn resolutions_follow_the_window() {
    for (window, resolution) in
        [("90s", SECOND), ("1h", SECOND), ("2h", MINUTE), ("1d", MINUTE), ("25h", HOUR), ("31d", HOUR), ("32d", DAY)]
    {
        let definitions = parse(&tag(&format!("value = 'count(*)'\nwindow = '{window}'")));
        let Kind::Aggregation(aggregation) = &definitions.tags[0].kind else { panic!("an aggregation") };
        let span = crate::time::parse_span(window).expect("a span");
        assert_eq!(aggregation.window, Some(Window::sliding(span, resolution)), "{window}");
    }
}

#[test]
fn types_may_be_declared_wider_and_datetimes_as_ints() {
    for (value, ty, fits) in [
        ("sum(amount)", "double", true),
        ("count(*)", "decimal", true),
        ("max(timestamp)", "int", true),
        ("max(properties.n)", "datetime", true),
        ("sum(amount)", "int", false),
        ("last(category)", "bool", false),
        ("last_k(category, 3)", "list<string>", true),
        ("histogram(amount)", "map<int>", true),
        ("histogram(amount)", "map<decimal>", false),
        ("stddev(amount)", "double", true),
        ("stddev(amount)", "decimal", false),
    ] {
        let text = format!(
            "[[field]]\npath = 'properties.n'\ntype = 'int'\n{}type = '{ty}'",
            tag(&format!("value = '{value}'"))
        );
        assert_eq!(Definitions::parse(&text, "").is_ok(), fits, "{value} as {ty}");
    }
    let definitions = parse("[[tag]]\ncode='n'\nvalue='count(*)'\n[[tag]]\ncode='half'\nvalue='n'\ntype='double'");
    let Kind::Derived(half) = &definitions.tags[1].kind else { panic!("derived") };
    assert_eq!(half.expr.ty, Type::Double);
}

#[test]
fn fingerprints_change_with_the_meaning_and_with_nothing_else() {
    let print = |text: &str| parse(text).tags.last().expect("one").fingerprint;
    let base = "[[tag]]\ncode='t'\nvalue='sum(amount)'\nwhere='''eventType = 'a' '''\nwindow='1h'";
    // Pinned: a state out there is kept under it.
    assert_eq!(format!("{:016x}", print(base)), "7dfdf4c29a04fb5e");
    for same in [
        "# words\n[[tag]]\ncode='other'\nname='N'\nowner='o'\ndescription='d'\nvalue='SUM( (amount) )'\nwhere='''(eventType='a')'''\nwindow='60m'\nresolution='1s'\nupdate='daily'\ntype='double'",
        "[[field]]\npath='x'\ntype='int'\n[[tag]]\ncode='u'\nvalue='max(x)'\n[[tag]]\ncode='t'\nvalue='sum(amount)'\nwhere='''eventType='a' '''\nwindow='1h'",
    ] {
        assert_eq!(print(same), print(base), "{same}");
    }
    for other in [
        base.replace("sum", "avg"),
        base.replace("sum(amount)", "sum(amount + 1)"),
        base.replace("'a'", "'b'"),
        base.replace("1h", "2h"),
        format!("{base}\nresolution='2s'"),
        base.replace("window='1h'", ""),
    ] {
        assert_ne!(print(&other), print(base), "{other}");
    }
    let kept = "[[tag]]\ncode='t'\nvalue='top_k(category, 3)'\nby='itemId'";
    assert_eq!(print(&format!("{kept}\nkeep=1000")), print(kept));
    for other in [
        format!("{kept}\nkeep=999"),
        kept.replace("itemId", "eventType"),
        kept.replace("\nby='itemId'", ""),
        kept.replace("3", "4"),
    ] {
        assert_ne!(print(&other), print(kept), "{other}");
    }
    let alone = kept.replace("\nby='itemId'", "");
    assert_eq!(print(&format!("{alone}\nkeep=1000")), print(&alone));
    assert_ne!(print(&format!("{alone}\nkeep=999")), print(&alone));
    let decayed = |span: &str| print(&format!("[[tag]]\ncode='t'\nvalue='''decayed(amount, '{span}')'''"));
    assert_eq!(decayed("7d"), decayed("168h"));
    assert_ne!(decayed("7d"), decayed("8d"));
    let typed = |ty: &str| print(&format!("[[field]]\npath='x'\ntype='{ty}'\n[[tag]]\ncode='t'\nvalue='count(x)'"));
    assert_ne!(typed("int"), typed("string"));
    let day = "[[tag]]\ncode='t'\nvalue='count(*)'\nwindow='day'\ntz='Europe/Berlin'";
    assert_eq!(format!("{:016x}", print(day)), "d613d2b1af2fd4c6");
    assert_eq!(print(&day.replace("Europe/Berlin", "europe/BERLIN")), print(day));
    let utc = day.replace("Europe/Berlin", "UTC");
    assert_eq!(print(&day.replace("tz='Europe/Berlin'", "")), print(&utc));
    let (week, days) = (day.replace("day", "week"), day.replace("day", "2 days"));
    // Paris has had Berlin's clocks for a long time: it is the name that counts.
    let prints = [
        day,
        &utc,
        &week,
        &days,
        &days.replace('2', "3"),
        &day.replace("Berlin", "Paris"),
        &day.replace("'day'", "'1d'").replace("tz", "# tz"),
    ];
    let different: std::collections::HashSet<u64> = prints.iter().map(|text| print(text)).collect();
    assert_eq!(different.len(), prints.len());
    let derived = |value: &str| print(&format!("[[tag]]\ncode='n'\nvalue='{value}'\n[[tag]]\ncode='t'\nvalue='n + 1'"));
    assert_ne!(derived("count(*)"), derived("count(DISTINCT category)"));
}

#[test]
fn the_schema_has_exactly_the_keys_that_are_read() {
    let schema = schema();
    let value = |key: &str, sub: &serde_json::Value| match (key, sub["type"].as_str(), sub["enum"].get(0)) {
        ("code", ..) => "'t'".to_string(),
        ("window" | "resolution", ..) => "'1h'".to_string(),
        ("tz", ..) => "'UTC'".to_string(),
        (_, Some("array"), _) => "[]".to_string(),
        (_, _, Some(choice)) => format!("'{}'", choice.as_str().expect("a string")),
        _ => "'count(*)'".to_string(),
    };
    let properties = |sub: &serde_json::Value| sub["properties"].as_object().expect("an object").clone();
    let tables = ["tag", "field"].map(|name| (format!("[[{name}]]\n"), schema["properties"][name]["items"].clone()));
    for (head, sub) in [(String::new(), schema.clone())].into_iter().chain(tables) {
        assert_eq!(sub["additionalProperties"], serde_json::json!(false));
        for (key, of) in properties(&sub) {
            assert!(of["description"].as_str().is_some_and(|doc| doc.ends_with('.')), "{key}");
            let text = format!("{head}{key} = {}\n", value(&key, &of));
            let found = Definitions::parse(&text, "").err().unwrap_or_default();
            assert!(!found.iter().any(|p| p.message.contains("unknown key")), "{text}: {found:?}");
        }
        // And nothing else is read: what the schema does not have is refused.
        let text = format!("{head}entirely_unknown = 1\n");
        assert!(problems(&text).iter().any(|p| p.message.contains("unknown key")), "{text}");
    }
    // Both are made from one table; a key that code asks for and the table lacks would never be found.
    for (file, name) in [
        (include_str!("build.rs"), "build"),
        (include_str!("derive.rs"), "derive"),
        (include_str!("window.rs"), "window"),
    ] {
        for part in file.split("read.text(\"").skip(1).chain(file.split("field.text(\"").skip(1)) {
            let key = part.split('"').next().expect("closed");
            let known =
                ["tag", "field"].iter().any(|t| schema["properties"][t]["items"]["properties"].get(key).is_some());
            assert!(known, "{name} asks for {key}");
        }
    }
}

#[test]
fn the_schema_agrees_with_the_reader_on_the_sample() {
    let file: toml::Table = sample().parse().expect("TOML");
    let keys = schema()["properties"]["tag"]["items"]["properties"].as_object().expect("an object").clone();
    for tag in file["tag"].as_array().expect("a list") {
        for key in tag.as_table().expect("a table").keys() {
            assert!(keys.contains_key(key), "{key}");
        }
    }
    assert_eq!(sample(), Definitions::built_in().text);
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(text in "(\\[\\[(tag|field)\\]\\]\n|(code|value|where|window|tz|type|path) = ['\"]{1,3}[a-z0-9_ (*)='\\\\%é]{0,12}['\"]{1,3}\n){0,12}") {
        if let Err(found) = Definitions::parse(&text, "adprof.toml") {
            for problem in found {
                let _ = problem.to_string();
            }
        }
    }
}
