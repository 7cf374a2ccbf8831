//! Lines of NDJSON, member by member.

use adprof::ndjson::push_str;
use std::fmt::Display;

/// An object on its way.
pub struct Line(Vec<u8>);

impl Line {
    pub fn new() -> Line {
        Line(b"{".to_vec())
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        push_str(&mut self.0, key);
        self.0.push(b':');
    }

    pub fn text(mut self, key: &str, text: &str) -> Line {
        self.key(key);
        push_str(&mut self.0, text);
        self
    }

    /// Nothing where there is no text.
    pub fn optional(self, key: &str, text: Option<&str>) -> Line {
        match text {
            Some(text) => self.text(key, text),
            None => self,
        }
    }

    /// A number, or JSON that is there.
    pub fn json(mut self, key: &str, json: impl Display) -> Line {
        self.key(key);
        self.0.extend_from_slice(json.to_string().as_bytes());
        self
    }

    /// The object.
    pub fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0).expect("made of texts")
    }

    /// The object and the end of its line.
    pub fn line(self) -> String {
        self.end() + "\n"
    }
}

/// `[…]` of JSON that is there.
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}
