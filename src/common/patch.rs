//! Patches: new values of one key's tags, as one line of NDJSON.
//!
//! `{"userId":"u-001","asOf":1731296325000,"tags":{"ltv_total":150.75,"clicks_1h_count":null}}`:
//! values are absolute, null removes, and the same patch is always the same bytes.

mod form;

use crate::key::{Key, OWN, SEGMENTS, USER};
use crate::limits::{FIELD_MAX, USER_ID_MAX};
use crate::ndjson;
use crate::time::Millis;
use crate::value::{Datum, Value};
pub use form::Form;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// New values of one key's tags, true at `as_of`; `None` removes the tag.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch {
    pub key: Key,
    pub as_of: Millis,
    /// In the order they are written: the definition file's for patches that adprof makes.
    pub tags: Vec<(Arc<str>, Option<Value>)>,
}

/// In a patch of what is adprof's own, audiences of a user in Redis: all that it does not name goes. No tag has this code.
pub const ALL_OTHERS: &str = "";

/// What the codes of hidden tags begin with: tags that adprof makes for the rules of segments.
pub const HIDDEN: char = '_';

/// Whether this is the code of a hidden tag, which is shown to nobody who does not ask for it.
pub fn is_hidden(code: &str) -> bool {
    code.starts_with(HIDDEN)
}

impl Patch {
    /// Whether all that the patch does not name goes.
    pub fn is_whole(&self) -> bool {
        matches!(self.key.entity(), SEGMENTS | OWN) && self.tags.iter().any(|(code, _)| code.is_empty())
    }

    /// The codes of tags that it removes one by one.
    pub fn removed(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().filter(|(code, value)| value.is_none() && !code.is_empty()).map(|(code, _)| &**code)
    }

    /// Takes the hidden tags out; `false` where nothing is left that was there.
    pub fn keep_shown(&mut self) -> bool {
        let was_empty = self.tags.is_empty();
        self.tags.retain(|(code, _)| !is_hidden(code));
        was_empty || !self.tags.is_empty()
    }

    /// Appends the patch as one line, its newline included.
    pub fn push_line(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        push_key(out, &self.key);
        push_instant(out, self.as_of);
        for (i, (code, value)) in self.tags.iter().enumerate() {
            push_code(out, code, i == 0);
            match value {
                Some(value) => value.push_json(out),
                None => Datum::Null.push_json(out),
            }
        }
        out.extend_from_slice(END);
    }

    /// Reads one line; the error says why it is not a patch.
    pub fn parse(line: &str) -> Result<Patch, String> {
        // serde's derive would take an array of the right shape for the object.
        if !line.trim_start().starts_with('{') {
            return Err("not a patch: a patch is a JSON object".into());
        }
        // A line is always serde's line 1: the column is the place.
        let wire: Wire = serde_json::from_str(line)
            .map_err(|e| format!("not a patch: {e}").replace(" at line 1 column ", " at column "))?;
        wire.into_patch().map_err(|why| format!("not a patch: {why}"))
    }
}

/// Whether a value true at `new` takes the place of one true at `old`: the newest as-of wins, and of equal ones what comes
/// later, so that a corrected run replaces the one before.
pub fn replaces(new: Millis, old: Millis) -> bool {
    new >= old
}

const END: &[u8; 3] = b"}}\n";

fn push_instant(out: &mut Vec<u8>, as_of: Millis) {
    out.extend_from_slice(b",\"asOf\":");
    ndjson::push_int(out, as_of);
    out.extend_from_slice(b",\"tags\":{");
}

fn push_code(out: &mut Vec<u8>, code: &str, first: bool) {
    if !first {
        out.push(b',');
    }
    ndjson::push_str(out, code);
    out.push(b':');
}

/// Appends `"userId":"u-001"`, or `"entity":"item","key":"i-9"`, with `"tenantId"` before it when there is one.
pub fn push_key(out: &mut Vec<u8>, key: &Key) {
    if !key.tenant().is_empty() {
        out.extend_from_slice(b"\"tenantId\":");
        ndjson::push_str(out, key.tenant());
        out.push(b',');
    }
    if key.entity() == USER {
        out.extend_from_slice(b"\"userId\":");
        return ndjson::push_str(out, key.id());
    }
    out.extend_from_slice(b"\"entity\":");
    ndjson::push_str(out, key.entity());
    out.extend_from_slice(b",\"key\":");
    let parts: Vec<&str> = key.parts().collect();
    if let [only] = parts[..] {
        return ndjson::push_str(out, only);
    }
    for (i, part) in parts.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        ndjson::push_str(out, part);
    }
    out.push(b']');
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire<'a> {
    tenant_id: Option<String>,
    user_id: Option<String>,
    entity: Option<String>,
    key: Option<Parts>,
    as_of: i64,
    #[serde(borrow)]
    tags: Tags<'a>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Parts {
    One(String),
    Several(Vec<String>),
}

/// The tags in the order of the line, which a map type would lose.
struct Tags<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Tags<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Tags<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tags")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags<'de>, A::Error> {
                let mut tags = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    tags.push(entry);
                }
                Ok(Tags(tags))
            }
        }
        d.deserialize_map(InOrder)
    }
}

impl Wire<'_> {
    fn into_patch(self) -> Result<Patch, String> {
        let tenant = self.tenant_id.unwrap_or_default();
        let (entity, parts) = match (self.user_id, self.entity, self.key) {
            (Some(user), None, None) => (USER.to_string(), vec![user]),
            (None, Some(entity), Some(Parts::One(part))) => (entity, vec![part]),
            (None, Some(entity), Some(Parts::Several(parts))) => (entity, parts),
            _ => return Err("it needs `userId`, or `entity` and `key`".into()),
        };
        let well_formed =
            |text: &String| !text.is_empty() && !text.contains(char::is_control) && text.len() <= FIELD_MAX;
        if parts.is_empty()
            || !parts.iter().all(well_formed)
            || !well_formed(&entity)
            || tenant.contains(char::is_control)
        {
            return Err("an id is empty, too long, or holds a control character".into());
        }
        if entity == USER && parts[0].len() > USER_ID_MAX {
            return Err(format!("`userId` is longer than {USER_ID_MAX} bytes"));
        }
        let mut tags: Vec<(Arc<str>, Option<Value>)> = Vec::with_capacity(self.tags.0.len());
        for (code, raw) in self.tags.0 {
            if code.is_empty() || code.contains(char::is_control) || code.len() > FIELD_MAX {
                return Err(format!("`{}` is not a tag code", ndjson::shown(&code)));
            }
            if tags.iter().any(|(seen, _)| **seen == *code) {
                return Err(format!("tag `{code}` is there twice"));
            }
            let value = Value::from_json(raw.get()).map_err(|e| format!("tag `{code}`: {e}"))?;
            tags.push((code.into(), value));
        }
        Ok(Patch { key: Key::new(&tenant, &entity, parts.iter().map(String::as_str)), as_of: self.as_of, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Sheet;

    #[test]
    fn a_patch_reads_back_to_the_same_bytes() {
        for line in [
            r#"{"userId":"u-001","asOf":1731296325000,"tags":{"ltv_total":150.75,"segment_id":"high_value_user","clicks_1h_count":null}}"#,
            r#"{"entity":"item","key":"i-9","asOf":1,"tags":{"b":1,"a":true}}"#,
            r#"{"tenantId":"acme","entity":"item","key":["i-9","2026"],"asOf":1,"tags":{}}"#,
            r#"{"userId":"a","asOf":-1,"tags":{"a_code_of_so_many_bytes_that_it_fits":1,"a_code_of_25_bytes_is_32_":2,"x":3}}"#,
        ] {
            let mut out = Vec::new();
            let patch = Patch::parse(line).expect(line);
            patch.push_line(&mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("{line}\n"));
            let mut formed = Sheet::default();
            let form = Form::new(patch.as_of, patch.tags.iter().map(|(code, _)| &**code));
            form.push_line(&mut formed, patch.key.as_str(), |n| {
                patch.tags[n].1.as_ref().map_or(Datum::Null, Value::datum)
            });
            assert_eq!(formed.written(), format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn what_is_not_a_patch_is_refused_with_its_reason() {
        for (line, why) in [
            (r#"{"eventId":"e","userId":"u","timestamp":1}"#, "unknown field `eventId`"),
            (r#"{"userId":"u","tags":{}}"#, "missing field `asOf`"),
            (r#"{"asOf":1,"tags":{}}"#, "it needs `userId`"),
            (r#"{"userId":"","asOf":1,"tags":{}}"#, "an id is empty"),
            (r#"{"userId":"u","asOf":1,"tags":{"a":1,"a":2}}"#, "tag `a` is there twice"),
            (r#"["u",1,{}]"#, "not a patch"),
            ("nonsense", "not a patch"),
        ] {
            let error = Patch::parse(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
