//! The page: one file, harmless whatever stands in values, with a table for every picture.

use crate::support::Dir;
use crate::world::{AS_OF, random};

fn page(dir: &Dir, args: &str) -> String {
    dir.adprof(&format!("segment insight --format html --as-of {AS_OF} {args}")).ok()
}

/// The names of all elements, in their order; closing ones with their `/`. Fails at what is no element.
fn elements(page: &str) -> Vec<&str> {
    let (_, body) = page.split_once("</style>").expect("a style");
    let mut found = Vec::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("no end: {piece}"));
        assert!(!text.contains('>'), "{piece}");
        found.push(tag.split_whitespace().next().expect("a name").trim_end_matches('/'));
    }
    found
}

#[test]
fn a_value_that_is_markup_is_shown_and_does_nothing() {
    let dir = random(11, 2500);
    let definitions = dir.read("adprof.toml");
    let with =
        definitions.replace("code = \"adults\"", "code = \"adults\"\nname = \"<b onclick='x()'>\\\"Grown\\\" & ups\"");
    dir.write(
        "adprof.toml",
        with.replacen("code = \"city\"", "code = \"city\"\ndescription = \"</section><img src=x>\"", 1),
    );
    let page = page(&dir, "adults --min-cell 5");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(page.contains("c&quot;&lt;") && page.contains("&lt;/section&gt;&lt;img src=x&gt;"));
    assert!(page.contains("<h1>&lt;b onclick=&#39;x()&#39;&gt;&quot;Grown&quot; &amp; ups</h1>"));
    let known = [
        "header", "p", "h1", "dl", "div", "dt", "dd", "b", "span", "code", "nav", "h2", "ol", "li", "a", "svg", "rect",
        "main", "section", "small", "table", "caption", "thead", "tr", "th", "i", "tbody", "td", "line", "circle",
        "footer", "body", "html", "head",
    ];
    for element in elements(&page) {
        assert!(known.contains(&element.trim_start_matches('/')), "<{element}>");
    }
}

#[test]
fn the_page_loads_nothing() {
    let page = page(&random(12, 500), "adults --against vips");
    for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<iframe", "javascript:"] {
        assert_eq!(page.find(word), None, "{word}");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert!(page.match_indices("href=").all(|(at, _)| page[at..].starts_with("href=\"#tag-")));
}

#[test]
fn every_picture_has_its_figures_beside_it() {
    let dir = random(13, 900);
    let page = page(&dir, "adults");
    assert!(
        page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">")
            && page.contains("<title>adults: who is in this audience</title>")
    );
    let count = |text: &str| page.matches(text).count();
    assert_eq!(count("<section "), 9);
    assert_eq!((count("<caption>"), count("<h1>"), count("<main>")), (9, 1, 1));
    assert_eq!(count("<svg "), count("aria-hidden=\"true\""));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    // Every row has a heading and as many cells as there are columns.
    for row in page.split("<tr class").skip(1).map(|row| row.split("</tr>").next().expect("a row")) {
        assert_eq!((row.matches("<th scope=\"row\">").count(), row.matches("<td").count()), (1, 8), "{row}");
    }
    for (open, close) in
        [("<table", "</table>"), ("<section", "</section>"), ("<svg", "</svg>"), ("<tr", "</tr>"), ("<dl", "</dl>")]
    {
        assert_eq!(count(open), count(close), "{open}");
    }
}

#[test]
fn the_same_question_has_the_same_bytes() {
    let dir = random(14, 400);
    assert_eq!(page(&dir, "adults"), page(&dir, "adults"));
}
