//! Insight for a terminal: a bar for each cell, as wide as there is room.

use super::{Group, Page};
use crate::given::grouped;
use crate::report;
use adprof::ndjson::shown;
use adprof::segment::insight::{Cell, Index, Told, What};
use adprof::time;
use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

/// Columns where nobody says how many there are.
const WIDTH: usize = 100;
const NARROWEST: usize = 40;

/// How text is written.
pub struct Manner {
    width: usize,
    color: bool,
    signs: &'static Signs,
}

/// What bars are made of.
struct Signs {
    both: char,
    /// The audience has more.
    more: char,
    /// The base has more.
    less: char,
    cut: char,
}

const UNICODE: Signs = Signs { both: '█', more: '▓', less: '░', cut: '…' };
const ASCII: Signs = Signs { both: '#', more: '+', less: '.', cut: '~' };

impl Manner {
    /// `width`: as it was typed. `to_file`: it goes to no terminal.
    pub fn new(width: Option<u16>, to_file: bool) -> Manner {
        let stdout = io::stdout();
        let of_terminal = || {
            let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| !to_file && stdout.is_terminal())?;
            (size.ws_col > 0).then_some(usize::from(size.ws_col).max(NARROWEST))
        };
        Manner {
            width: width.map(usize::from).or_else(of_terminal).unwrap_or(WIDTH),
            color: report::is_colored() && !to_file,
            signs: if is_utf8() { &UNICODE } else { &ASCII },
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// Whether the locale, as POSIX looks it up, is one of UTF-8.
fn is_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(env::var_os).find(|value| !value.is_empty());
    locale.is_some_and(|value| {
        let name = value.to_string_lossy().to_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}

pub fn written(page: &Page, manner: &Manner) -> String {
    let mut out = head(page, manner);
    for told in &page.told {
        out.push('\n');
        out += &tag(page, told, manner);
    }
    out
}

fn head(page: &Page, manner: &Manner) -> String {
    let Signs { both, more, less, .. } = *manner.signs;
    let mut out = String::new();
    let of = |group: &Group| format!("{}  version {}", group.name(), group.version);
    let size = format!(
        "{} of {} {}, as of {}",
        grouped(page.audience.size),
        grouped(page.all),
        page.whose,
        time::show(page.as_of)
    );
    let _ = writeln!(out, "{}  {size}", manner.paint(&of(&page.audience), "1"));
    let _ = writeln!(out, "rule     {}", shown(&page.audience.rule));
    match &page.base {
        None => drop(writeln!(out, "against  {} {}", grouped(page.all), page.whose)),
        Some(base) => {
            let common = format!("{} {}, {} in both", grouped(base.size), page.whose, grouped(page.total.both));
            let _ = writeln!(out, "against  {}  {common}\n         {}", of(base), shown(&base.rule));
        }
    }
    let _ = writeln!(out, "bars     {both} share in both   {more} more in the audience   {less} more in the base");
    let _ = writeln!(out, "index    100 x audience / base, with its 95 % interval; * differs from 100");
    out
}

fn tag(page: &Page, told: &Told, manner: &Manner) -> String {
    let named = if page.is_named(told) { "  named by the rule" } else { "" };
    let code = manner.paint(&shown(page.code(told)), "1");
    let mut out = format!("{code}  {}  distance {:.2}{named}\n", told.ty, told.distance);
    let labels: Vec<String> = told.cells.iter().map(|cell| label(cell, told)).collect();
    let columns = Columns::new(&labels, manner);
    let most = told.cells.iter().map(|cell| cell.share.max(cell.base_share)).fold(0.0, f64::max);
    if !told.cells.is_empty() {
        out += &columns.head();
    }
    for (cell, label) in told.cells.iter().zip(&labels) {
        out += &columns.row(cell, label, most, manner);
    }
    for remark in page.remarks(told) {
        out += &wrapped(&remark, manner.width);
    }
    out
}

/// Words in lines that fit, each with two blanks in front.
fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut line) = (String::new(), String::from(" "));
    for word in text.split(' ') {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > width {
            out += &(std::mem::replace(&mut line, " ".into()) + "\n");
        }
        line = line + " " + word;
    }
    out + &line + "\n"
}

fn label(cell: &Cell, told: &Told) -> String {
    match cell.what {
        What::Value(ref text) if text.is_empty() => "''".into(),
        _ => shown(&cell.what.label(told.ty)).into_owned(),
    }
}

/// What stands in a row, and how wide.
struct Columns {
    label: usize,
    bar: usize,
    interval: bool,
    counts: bool,
}

impl Columns {
    fn new(labels: &[String], manner: &Manner) -> Columns {
        let (interval, counts) = (manner.width >= 72, manner.width >= 96);
        let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let label = longest.clamp(8, (manner.width / 4).max(10));
        // Blanks in front, two shares and the index with the star.
        let taken = 2 + label + 1 + 9 + 9 + 9 + if interval { 14 } else { 0 } + if counts { 20 } else { 0 };
        Columns { label, bar: manner.width.saturating_sub(taken), interval, counts }
    }

    fn head(&self) -> String {
        let mut line = format!("  {:label$} {:bar$}", "", "", label = self.label, bar = self.bar);
        line += "audience     base    index";
        if self.interval {
            line += "          95 %";
        }
        if self.counts {
            line += "           people of";
        }
        line.trim_end().to_string() + "\n"
    }

    fn row(&self, cell: &Cell, label: &str, most: f64, manner: &Manner) -> String {
        let bar = self.bar_of(cell, most, manner);
        let label = cut(label, self.label, manner.signs.cut);
        let percent = |share: f64| format!("{:.1}%", share * 100.0);
        let (index, interval) = match cell.index {
            Some(index) => (shortly(index.value), between(index)),
            None => ("-".into(), String::new()),
        };
        let star = if cell.differs() { "*" } else { " " };
        let mut line = format!("  {label:width$} {bar}", width = self.label);
        let _ = write!(line, "{:>8}{:>9}", percent(cell.share), percent(cell.base_share));
        let told = format!("{index:>8}{star}");
        line += &match cell.index.filter(Index::differs) {
            Some(index) => manner.paint(&told, if index.value > 100.0 { "32" } else { "35" }),
            None => told,
        };
        if self.interval {
            let _ = write!(line, "{interval:>14}");
        }
        if self.counts {
            let _ = write!(line, "{:>10}{:>10}", grouped(cell.audience), grouped(cell.base));
        }
        line.trim_end().to_string() + "\n"
    }

    fn bar_of(&self, cell: &Cell, most: f64, manner: &Manner) -> String {
        let signs = manner.signs;
        let room = self.bar.saturating_sub(1) as f64;
        let length = |share: f64| if most > 0.0 { (share / most * room).round() as usize } else { 0 };
        let (audience, base) = (length(cell.share), length(cell.base_share));
        let repeated = |sign: char, n: usize| sign.to_string().repeat(n);
        let both = repeated(signs.both, audience.min(base));
        let more = repeated(signs.more, audience.saturating_sub(base));
        let less = repeated(signs.less, base.saturating_sub(audience));
        let blank = " ".repeat(self.bar - audience.max(base));
        format!("{both}{}{}{blank}", manner.paint(&more, "32"), manner.paint(&less, "2"))
    }
}

/// The text, or its beginning.
fn cut(text: &str, width: usize, sign: char) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width - 1).chain([sign]).collect()
}

/// An index in few digits.
pub fn shortly(n: f64) -> String {
    match n {
        n if n.is_infinite() => "inf".into(),
        n if n >= 1e6 => format!("{n:.1e}"),
        n if n > 0.0 && n < 10.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// The interval of an index.
pub fn between(index: Index) -> String {
    format!("{}-{}", shortly(index.low), shortly(index.high))
}
