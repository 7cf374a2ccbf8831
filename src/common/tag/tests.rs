//! Laws of definition files, as rows of (file, outcome).

use super::*;
use crate::time::{HOUR, SECOND};

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
    assert_eq!(clicks.window, Some(Window { span: HOUR, resolution: SECOND }));
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
