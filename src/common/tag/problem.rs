//! Problems: what is wrong in a definition file, with its place.

use std::fmt;
use std::ops::Range;

/// One mistake. Shown as the place and message, the line with a caret under it, and a hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The name of the file as the user gave it.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    pub hint: Option<String>,
    /// The line it stands in.
    pub excerpt: String,
    /// How many characters of the line are meant, at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem at a range of bytes of `text`.
    pub fn new(source: &str, text: &str, at: Range<usize>, message: impl Into<String>) -> Problem {
        let start = floor_boundary(text, at.start);
        let end = floor_boundary(text, at.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |n| n + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
        let excerpt = text[line_start..line_end].trim_end_matches('\r');
        Problem {
            source: source.to_string(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            hint: None,
            excerpt: excerpt.to_string(),
            width: text[start..end.min(line_end)].trim_end().chars().count().max(1),
        }
    }
}

/// The nearest place at or before `at` where a character begins.
fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// No newline at the end.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.source, self.line, self.column, self.message)?;
        writeln!(f, "  {}", self.excerpt)?;
        // A tab stays a tab, so that the caret stands right however wide the terminal draws it.
        let lead: String =
            self.excerpt.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "  {lead}{}", "^".repeat(self.width))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
