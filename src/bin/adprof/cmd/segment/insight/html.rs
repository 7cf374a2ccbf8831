//! Insight as a page: one file with its pictures in it, no script and nothing to load.
//!
//! All text is escaped, and a policy in the page forbids the browser to fetch or run anything.

use super::text::{between, shortly};
use super::{Group, Page};
use crate::given::grouped;
use adprof::segment::insight::{Cell, Index, Told, What};
use adprof::time;
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");
/// The largest and smallest index of a picture are 100 times and by two to the power of this.
const DOUBLINGS: f64 = 3.0;

/// Text as HTML has it, between tags and in attributes; what cannot be shown is U+FFFD.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // They would turn the text around them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

pub fn written(page: &Page) -> String {
    let name = text(title(page));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name}: who is in this audience</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    out += &head(page, &name);
    out += &overview(page);
    out += "<main>\n";
    for (i, told) in page.told.iter().enumerate() {
        out += &section(page, told, i);
    }
    out += "</main>\n";
    out += &foot(page);
    out + "</body>\n</html>\n"
}

/// What people call the audience.
fn title(page: &Page) -> &str {
    let segment = page.audience.code.as_deref().and_then(|code| page.definitions.segment(code));
    segment.map_or(page.audience.name(), |segment| &segment.name)
}

fn head(page: &Page, name: &str) -> String {
    let share = match page.base {
        None => percent(page.total.audience() as f64 / page.total.base() as f64) + " of the base",
        Some(_) => format!("{} of them in the base", grouped(page.total.both)),
    };
    let tile = |label: &str, figure: String, note: String| {
        format!("<div><dt>{label}</dt><dd>{}</dd><dd class=\"note\">{}</dd></div>\n", text(&figure), text(&note))
    };
    let base = page.base.as_ref().map_or(page.all, |base| base.size);
    let moment = time::show(page.as_of);
    let (day, clock) = moment.split_once('T').unwrap_or((&moment, ""));
    let tiles = tile("Audience", grouped(page.audience.size), share)
        + &tile("Base", grouped(base), page.base_name())
        + &tile("As of", day.to_string(), clock.to_string());
    let fact = |label: &str, group: &Group| {
        let (name, version) = (text(group.name()), text(&group.version));
        let rule = text(&group.rule);
        format!("<dt>{label}</dt><dd><b>{name}</b> <span>version {version}</span> <code>{rule}</code></dd>\n")
    };
    let facts = fact("Rule", &page.audience) + &page.base.as_ref().map(|base| fact("Base", base)).unwrap_or_default();
    format!(
        "<header>\n<p class=\"kind\">Audience insight</p>\n<h1>{name}</h1>\n<dl class=\"tiles\">\n{tiles}</dl>\n\
         <dl class=\"facts\">\n{facts}</dl>\n</header>\n"
    )
}

/// The tags in their order, with how far each is from the base.
fn overview(page: &Page) -> String {
    let most = page.told.iter().map(|told| told.distance).fold(0.0, f64::max);
    let item = |(i, told): (usize, &Told)| {
        let share = if most > 0.0 { told.distance / most } else { 0.0 };
        format!(
            "<li><a href=\"#tag-{i}\"><span>{}</span>{}<b>{:.2}</b></a></li>\n",
            text(page.code(told)),
            bar(&[("audience", share, 4, 8)], 16),
            told.distance
        )
    };
    let items: String = page.told.iter().enumerate().map(item).collect();
    format!(
        "<nav aria-labelledby=\"tags\">\n<h2 id=\"tags\">What tells it from the base</h2>\n\
         <p>The distance of each tag: the share of the audience who would need another value for it to be as the base.</p>\n\
         <ol>\n{items}</ol>\n</nav>\n"
    )
}

fn section(page: &Page, told: &Told, i: usize) -> String {
    let tag = &page.definitions.tags[told.tag];
    let code = text(&tag.code);
    let mut about = format!("<span>{}</span><span>distance {:.2}</span>", text(told.ty.name()), told.distance);
    if page.is_named(told) {
        about += "<span class=\"named\">named by the rule</span>";
    }
    let heading = match *tag.name == *tag.code {
        true => code.clone(),
        false => format!("{} <small>{code}</small>", text(&tag.name)),
    };
    let note = tag.description.as_deref().map(|d| format!("<p>{}</p>\n", text(d))).unwrap_or_default();
    let most = told.cells.iter().map(|cell| cell.share.max(cell.base_share)).fold(0.0, f64::max);
    let rows: String = told.cells.iter().map(|cell| row(cell, told, most)).collect();
    let remarks: String =
        page.remarks(told).iter().map(|remark| format!("<p class=\"note\">{}</p>\n", text(remark))).collect();
    format!(
        "<section id=\"tag-{i}\">\n<h2>{heading}</h2>\n<p class=\"about\">{about}</p>\n{note}<table>\n\
         <caption>{code}: shares of the audience and of the base</caption>\n\
         <thead><tr><th scope=\"col\">Value</th><th scope=\"col\" class=\"picture\"><span class=\"key\">audience</span>\
         <span class=\"key\">base</span></th><th scope=\"col\">Audience</th><th scope=\"col\">Base</th>\
         <th scope=\"col\" class=\"picture\"><span class=\"scale\"><span>12.5</span><span>100</span><span>800</span></span></th>\
         <th scope=\"col\">Index</th><th scope=\"col\">95&#160;%</th><th scope=\"col\">People</th><th scope=\"col\">of base</th>\
         </tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n{remarks}</section>\n"
    )
}

fn row(cell: &Cell, told: &Told, most: f64) -> String {
    let scaled = |share: f64| if most > 0.0 { share / most } else { 0.0 };
    let label = text(&cell.what.label(told.ty));
    let label = match &cell.what {
        What::Value(value) if value.is_empty() => "<i>empty</i>".into(),
        What::Rest | What::Other { .. } | What::Missing => format!("<i>{label}</i>"),
        What::Value(_) | What::Interval(_) | What::Number(_) => label,
    };
    let bars = bar(&[("audience", scaled(cell.share), 1, 9), ("base", scaled(cell.base_share), 12, 4)], 18);
    let (class, sign) = match cell.index {
        Some(index) if index.differs() && index.value > 100.0 => ("more", "▲&#160;"),
        Some(index) if index.differs() => ("less", "▼&#160;"),
        _ => ("same", ""),
    };
    let (index, interval) = match cell.index {
        Some(index) => (shortly(index.value), between(index).replace('-', "–")),
        None => ("–".into(), String::new()),
    };
    format!(
        "<tr class=\"{class}\"><th scope=\"row\">{label}</th><td class=\"picture\">{bars}</td><td>{}</td><td>{}</td>\
         <td class=\"picture\">{}</td><td class=\"index\">{sign}{index}</td><td>{interval}</td><td>{}</td><td>{}</td></tr>\n",
        percent(cell.share),
        percent(cell.base_share),
        cell.index.map(whisker).unwrap_or_default(),
        grouped(cell.audience),
        grouped(cell.base)
    )
}

/// Bars from the left: class, length from 0 to 1, top and height. The figures stand beside it.
fn bar(bars: &[(&str, f64, u32, u32)], height: u32) -> String {
    let mut out = format!("<svg class=\"bars\" height=\"{height}\" aria-hidden=\"true\">");
    for (class, length, top, thick) in bars {
        let width = 100.0 * length;
        let _ = write!(out, "<rect class=\"{class}\" y=\"{top}\" width=\"{width:.2}%\" height=\"{thick}\" rx=\"2\"/>");
    }
    out + "</svg>"
}

/// The index as a dot on its interval, by doublings to both sides of 100.
fn whisker(index: Index) -> String {
    let x = |n: f64| 50.0 + 47.0 * ((n / 100.0).log2() / DOUBLINGS).clamp(-1.0, 1.0);
    let (low, high, at) = (x(index.low), x(index.high), x(index.value));
    format!(
        "<svg class=\"whisker\" height=\"18\" aria-hidden=\"true\">\
         <line class=\"axis\" x1=\"50%\" x2=\"50%\" y1=\"0\" y2=\"18\"/>\
         <line class=\"range\" x1=\"{low:.2}%\" x2=\"{high:.2}%\" y1=\"9\" y2=\"9\"/>\
         <circle cx=\"{at:.2}%\" cy=\"9\" r=\"4\"/></svg>"
    )
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

fn foot(page: &Page) -> String {
    let few = match page.min_cell {
        0 | 1 => String::new(),
        least => format!(
            "<p>Cells of fewer than {least} people, and as many others as it takes that nothing can be worked out of them, \
             are told together as <i>other</i>, joined with the next interval, or left out.</p>\n"
        ),
    };
    format!(
        "<footer>\n<h2>How to read it</h2>\n<p>The <b>index</b> is 100 times the share of the audience by the share of the \
         base: 200 is twice as frequent. The <b>interval</b> holds what the index would be in the long run, in 95 of 100 cells; \
         ▲ and ▼ mark those that do not hold 100. Among twenty cells that are alike one is marked by chance. Pictures of the index \
         reach from an eighth of the share of the base to eight times it.</p>\n{few}</footer>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_somebody_wrote_is_text_and_nothing_else() {
        assert_eq!(text("<script>alert('&\"')</script>"), "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;");
        assert_eq!(text("a\u{0}\u{1b}b\u{202e}c"), "a\u{fffd}\u{fffd}b\u{fffd}c");
    }
}
