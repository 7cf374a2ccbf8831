//! Source: SQL text to sqlparser's tree, and places in that tree back to bytes of the text.
//!
//! Whatever the text holds, reading it is bounded in time and in stack.

use super::ExprError;
use crate::limits::{EXPR_DEPTH_MAX, EXPR_MAX};
use sqlparser::ast::{self, Expr as Sql, ObjectNamePart};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

/// Standard SQL with few extras: what another engine reads otherwise is better refused.
#[derive(Debug)]
struct Subset;

impl Dialect for Subset {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }

    /// Read, so that it can be refused by its name.
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        // Without this a mistake inside `CASE …` would be told as one after a field named `CASE`.
        matches!(
            word,
            Keyword::CASE
                | Keyword::CAST
                | Keyword::TRY_CAST
                | Keyword::SAFE_CAST
                | Keyword::NOT
                | Keyword::EXISTS
                | Keyword::TRIM
                | Keyword::SUBSTRING
                | Keyword::CEIL
                | Keyword::FLOOR
                | Keyword::INTERVAL
                | Keyword::EXTRACT
        )
    }
}

pub(super) fn parse(text: &str) -> Result<Sql, ExprError> {
    if text.len() > EXPR_MAX {
        return Err(error(0, 0, format!("the expression is longer than {EXPR_MAX} bytes")));
    }
    let places = Places::new(text);
    let dialect = Subset;
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|e| error(places.offset(e.location), 0, lower_first(&e.message)))?;
    if tokens.iter().all(|t| matches!(t.token, Token::Whitespace(_) | Token::EOF)) {
        return Err(error(0, text.len(), "the expression is empty".to_string()));
    }
    check_nesting(&tokens, &places)?;
    // A level of nesting costs the parser two where the canonical text has parentheses.
    let mut parser =
        Parser::new(&dialect).with_tokens_with_locations(tokens).with_recursion_limit(2 * EXPR_DEPTH_MAX + 16);
    let tree = parser.parse_expr().map_err(|e| places.error(&e))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let (offset, len) = places.span(next.span);
        return Err(unexpected(&next.token.to_string(), offset, len));
    }
    Ok(tree)
}

pub(super) fn top_call(tree: &Sql) -> Option<&str> {
    match tree {
        Sql::Nested(inner) => top_call(inner),
        Sql::Function(call) => match &call.name.0[..] {
            [ObjectNamePart::Identifier(name)] => Some(&name.value),
            _ => None,
        },
        _ => None,
    }
}

/// A literal text, or the digits of a number.
pub(super) fn constant_text(tree: &Sql) -> Option<&str> {
    match tree {
        Sql::Nested(inner) => constant_text(inner),
        Sql::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::Number(text, false) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Bounds parentheses, and chains such as `1+1+1+…`, which nest without any, before a tree is built of them.
fn check_nesting(tokens: &[sqlparser::tokenizer::TokenWithSpan], places: &Places<'_>) -> Result<(), ExprError> {
    const LONGEST: usize = 8 * EXPR_DEPTH_MAX;
    // One length for each parenthesis open, and the one in hand.
    let (mut outer, mut length) = (Vec::new(), 0);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket => {
                outer.push(length);
                length = 0;
            }
            Token::RParen | Token::RBracket => length = outer.pop().unwrap_or(0),
            Token::Comma => length = 0,
            Token::Word(w) if matches!(w.keyword, Keyword::AND | Keyword::OR | Keyword::WHEN | Keyword::THEN) => {
                length = 0;
            }
            _ => length += 1,
        }
        if length > LONGEST || outer.len() > EXPR_DEPTH_MAX {
            let (offset, len) = places.span(token.span);
            return Err(too_deep(offset, len));
        }
    }
    Ok(())
}

pub(super) fn too_deep(offset: usize, len: usize) -> ExprError {
    error(offset, len, format!("the expression nests deeper than {EXPR_DEPTH_MAX} levels"))
}

fn unexpected(found: &str, offset: usize, len: usize) -> ExprError {
    error(offset, len, format!("unexpected here: {found}"))
}

fn error(offset: usize, len: usize, message: String) -> ExprError {
    ExprError { offset, len, message, hint: None }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// A token in backticks, a description such as `an expression` as it is.
fn wanted_text(wanted: &str) -> String {
    let wanted = wanted.trim_start_matches("an expression:").trim();
    if wanted.contains(' ') || wanted.chars().any(char::is_lowercase) {
        lower_first(wanted)
    } else {
        format!("`{wanted}`")
    }
}

/// Lines and columns, as sqlparser counts them, as bytes.
pub(super) struct Places<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Places<'t> {
    pub fn new(text: &'t str) -> Places<'t> {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Places { text, lines: std::iter::once(0).chain(starts).collect() }
    }

    /// The end of the text for a place that is not known.
    pub fn offset(&self, place: Location) -> usize {
        let line = (place.line as usize).checked_sub(1).and_then(|line| self.lines.get(line));
        let (Some(start), Some(column)) = (line, (place.column as usize).checked_sub(1)) else {
            return self.text.len();
        };
        self.text[*start..].char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// Offset and length in bytes.
    pub fn span(&self, span: Span) -> (usize, usize) {
        let start = self.offset(span.start);
        (start, self.offset(span.end).saturating_sub(start))
    }

    /// sqlparser gives the place of an error in words only.
    fn error(&self, e: &ParserError) -> ExprError {
        let text = match e {
            ParserError::RecursionLimitExceeded => return too_deep(0, self.text.len()),
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        };
        let (what, place) = text.rsplit_once(" at Line: ").unwrap_or((text, ""));
        let offset = place
            .split_once(", Column: ")
            .and_then(|(line, column)| Some(Location { line: line.parse().ok()?, column: column.parse().ok()? }))
            .map_or(self.text.len(), |place| self.offset(place));
        let Some((wanted, found)) = what.strip_prefix("Expected: ").and_then(|w| w.split_once(", found: ")) else {
            return error(offset, 0, lower_first(what));
        };
        let (wanted, len) = (wanted_text(wanted), found.len());
        if found == "EOF" {
            return error(self.text.trim_end().len(), 0, format!("expected {wanted}, found the end"));
        }
        error(offset, len.min(self.text.len() - offset), format!("expected {wanted}, found `{found}`"))
    }
}
