//! Forms: what the lines of many patches share, written once.

use super::{END, push_code, push_instant, push_key};
use crate::key::Key;
use crate::sheet::{Pen, Piece, Sheet};
use crate::time::Millis;
use crate::value::Datum;

/// The lines of patches of the same tags at the same instant.
pub struct Form {
    user: Piece,
    /// The instant, which follows the key, where no tag is told.
    instant: Piece,
    /// What stands before each value: a code, and before the first one the instant.
    codes: Vec<Piece>,
    /// Room for all of it, and for values that are no texts.
    room: usize,
}

/// Room for a whole number or a decimal: 39 digits, a sign and a point.
const NUMBER_ROOM: usize = 48;
/// Room for a double, which is written without an exponent: 309 digits, or 326 bytes behind a point.
const DOUBLE_ROOM: usize = 400;

impl Form {
    pub fn new<'c>(as_of: Millis, codes: impl IntoIterator<Item = &'c str>) -> Form {
        let instant = |out: &mut Vec<u8>| push_instant(out, as_of);
        let code = |(i, code)| {
            Piece::new(|out| {
                if i == 0 {
                    instant(out);
                }
                push_code(out, code, i == 0);
            })
        };
        let codes: Vec<Piece> = codes.into_iter().enumerate().map(code).collect();
        let user = Piece::new(|out| out.extend_from_slice(b"{\"userId\":"));
        let instant = Piece::new(instant);
        let room = codes.iter().map(|code| code.room() + NUMBER_ROOM).sum::<usize>() + instant.room() + END.len();
        Form { user, instant, codes, room }
    }

    /// Appends the line of the patch of a key, given as it is stored: what `Patch::push_line` writes.
    ///
    /// `value` gives the value of the n-th code.
    #[inline]
    pub fn push_line<'a>(&self, sheet: &mut Sheet, key: &str, value: impl Fn(usize) -> Datum<'a>) {
        let texts: usize = (0..self.codes.len()).map(|n| room(&value(n))).sum();
        // No part of a key is longer than the key, and what stands around its parts is short.
        let key_room = self.user.room() + key.len() * 6 + 64;
        sheet.line(self.room + texts + key_room, |pen| {
            match Key::plain_user(key) {
                Some(user) => {
                    pen.piece(&self.user);
                    pen.text(user);
                }
                None => pen.pushed(|out| {
                    out.push(b'{');
                    push_key(out, &Key::from_stored(key).expect("a key is stored as one"));
                }),
            }
            if self.codes.is_empty() {
                pen.piece(&self.instant);
            }
            for (n, code) in self.codes.iter().enumerate() {
                pen.piece(code);
                write(pen, value(n));
            }
            pen.fixed(END);
        });
    }
}

/// Room for a value beyond that of a number.
#[inline(always)]
fn room(value: &Datum) -> usize {
    match value {
        Datum::Str(text) => text.len() * 6 + 2,
        Datum::Json(json) => json.len(),
        Datum::Double(_) => DOUBLE_ROOM,
        Datum::Null | Datum::Bool(_) | Datum::Int(_) | Datum::Decimal(_) | Datum::Time(_) => 0,
    }
}

#[inline(always)]
fn write(pen: &mut Pen, value: Datum) {
    match value {
        Datum::Int(n) | Datum::Time(n) => pen.int(n),
        Datum::Null => pen.fixed(b"null"),
        Datum::Str(text) => pen.text(text),
        other => pen.pushed(|out| other.push_json(out)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Patch;
    use super::*;
    use crate::money::Decimal;
    use crate::value::Value;

    #[test]
    fn the_longest_values_find_room() {
        let longest = "\u{202e}".repeat(500);
        let list = format!("[{}]", vec!["17"; 500].join(","));
        let values = [
            Datum::Int(i64::MIN),
            Datum::Decimal(Decimal(i128::MIN)),
            Datum::Double(-f64::MIN_POSITIVE),
            Datum::Double(-f64::from_bits((1 << 52) - 1)),
            Datum::Double(f64::MIN),
            Datum::Str(&longest),
            Datum::Json(&list),
            Datum::Bool(false),
            Datum::Null,
        ];
        let codes: Vec<String> = (0..24).map(|n| format!("{}{n}", "c".repeat(n * 3))).collect();
        let id = "\u{7f}\"".repeat(100);
        for value in values {
            let key = Key::new("\u{202e}", "\u{2066}", [id.as_str(), "\u{202e}", "b"]);
            let tags = codes.iter().map(|code| (code.as_str().into(), value.to_value())).collect();
            let patch = Patch { key: key.clone(), as_of: i64::MIN, tags };
            let mut want = Vec::new();
            patch.push_line(&mut want);
            let mut sheet = Sheet::default();
            let form = Form::new(i64::MIN, codes.iter().map(String::as_str));
            form.push_line(&mut sheet, key.as_str(), |n| patch.tags[n].1.as_ref().map_or(Datum::Null, Value::datum));
            assert_eq!(sheet.written(), want);
        }
    }
}
