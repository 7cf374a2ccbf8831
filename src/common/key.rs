//! Keys: whose tags they are, as (tenant, entity, parts).
//!
//! A key is one string, `tenant NUL entity NUL part (NUL part)*`, so that keys of one
//! tenant and entity sort together. Ids hold no NUL: events with one are refused.

use crate::ndjson;
use std::borrow::Cow;
use std::fmt;

/// The entity of tags that name none.
pub const USER: &str = "user";
/// Under which the audiences of a user stand in Redis: `segments:u-001`.
pub const SEGMENTS: &str = "segments";
/// Under which stands in Redis what is adprof's own.
pub const OWN: &str = "adprof";

/// One key of one entity of one tenant. The user entity and the default tenant are written as nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

impl Key {
    /// The key of a user; `tenant` is empty unless tenants are forced.
    pub fn user(tenant: &str, user_id: &str) -> Key {
        Key::new(tenant, USER, [user_id])
    }

    /// Writes what `Key::user(tenant, user_id).as_str()` would be, without making a key.
    pub fn write_user(tenant: &str, user_id: &str, out: &mut String) {
        out.clear();
        out.push_str(tenant);
        out.push_str("\0\0");
        out.push_str(user_id);
    }

    /// Whether a key, as it is stored, is `Key::user(tenant, user_id)`.
    #[inline]
    pub fn is_user(stored: &[u8], tenant: &str, user_id: &str) -> bool {
        let Some((head, id)) = stored.split_at_checked(tenant.len() + 2) else { return false };
        alike(id, user_id.as_bytes())
            && head.ends_with(b"\0\0")
            && (tenant.is_empty() || head.starts_with(tenant.as_bytes()))
    }

    pub fn new<'a>(tenant: &str, entity: &str, parts: impl IntoIterator<Item = &'a str>) -> Key {
        let entity = if entity == USER { "" } else { entity };
        let mut text = format!("{tenant}\0{entity}");
        for part in parts {
            text.push('\0');
            text.push_str(part);
        }
        Key(text.into())
    }

    /// The key as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The inverse of `as_str`; `None` when the text is not a key.
    pub fn from_stored(text: &str) -> Option<Key> {
        (text.bytes().filter(|b| *b == 0).count() >= 2).then(|| Key(text.into()))
    }

    /// The id of a user of the default tenant, from the key as it is stored; `None` for any other key.
    pub fn plain_user(stored: &str) -> Option<&str> {
        stored.strip_prefix("\0\0").filter(|id| !id.as_bytes().contains(&0))
    }

    pub fn tenant(&self) -> &str {
        self.split().0
    }

    pub fn entity(&self) -> &str {
        match self.split().1 {
            "" => USER,
            entity => entity,
        }
    }

    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.split().2.split('\0')
    }

    /// Tenant, entity and parts as they are written. The first two are short, and mostly nothing.
    #[inline]
    fn split(&self) -> (&str, &str, &str) {
        let word = |text: &str| text.bytes().position(|b| b == 0).expect("a key has a tenant, an entity and a part");
        let (tenant, rest) = self.0.split_at(word(&self.0));
        let (entity, parts) = rest[1..].split_at(word(&rest[1..]));
        (tenant, entity, &parts[1..])
    }

    /// The first part: for a user, the `userId`.
    pub fn id(&self) -> &str {
        self.parts().next().unwrap_or("")
    }

    /// The key of an entity whose keys have `width` parts, as it is typed: of several parts as Redis has them, joined by
    /// `:`. `None` when it has another number of parts.
    pub fn typed(tenant: &str, entity: &str, width: usize, text: &str) -> Option<Key> {
        if width == 1 {
            return Some(Key::new(tenant, entity, [text]));
        }
        let parts: Vec<String> = text.split(':').map(|part| part.replace("%3A", ":").replace("%25", "%")).collect();
        (parts.len() == width).then(|| Key::new(tenant, entity, parts.iter().map(String::as_str)))
    }

    /// The name of the Redis HASH: `profile:u-001`, `item:i-9`, `t:acme:profile:u-001`. `Prefixes` may give others.
    pub fn redis(&self) -> String {
        self.redis_under(if self.entity() == USER { "profile" } else { self.entity() })
    }

    /// The name of the Redis HASH that begins with `prefix`.
    ///
    /// A one-part key is written byte for byte; parts of a longer one are joined by `:`, with `%` and `:` in them as `%25` and `%3A`.
    fn redis_under(&self, prefix: &str) -> String {
        let mut out = String::new();
        if !self.tenant().is_empty() {
            out.push_str("t:");
            out.push_str(self.tenant());
            out.push(':');
        }
        out.push_str(prefix);
        out.push(':');
        out.push_str(&self.text());
        out
    }

    /// Its parts as one text, as `typed` reads it: one part byte for byte, several joined by `:`.
    pub fn text(&self) -> Cow<'_, str> {
        let (.., parts) = self.split();
        if !parts.as_bytes().contains(&0) {
            return parts.into();
        }
        let parts: Vec<String> = self.parts().map(|part| part.replace('%', "%25").replace(':', "%3A")).collect();
        parts.join(":").into()
    }
}

/// What the names of keys begin with in Redis, for the entities that say so.
#[derive(Clone, Debug, Default)]
pub struct Prefixes(Vec<(Box<str>, Box<str>)>);

impl Prefixes {
    /// Of pairs of an entity and its prefix.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Prefixes {
        Prefixes(pairs.into_iter().map(|(entity, prefix)| (entity.into(), prefix.into())).collect())
    }

    /// The name of a key's HASH.
    pub fn name(&self, key: &Key) -> String {
        match self.0.iter().find(|(entity, _)| **entity == *key.entity()) {
            Some((_, prefix)) => key.redis_under(prefix),
            None => key.redis(),
        }
    }
}

/// Whether the bytes are the same. Ids of usual length are compared in two words: a call would cost more.
#[inline]
fn alike(a: &[u8], b: &[u8]) -> bool {
    let ends = |bytes: &[u8]| Some((*bytes.first_chunk::<8>()?, *bytes.last_chunk::<8>()?));
    match (a.len(), ends(a), ends(b)) {
        (8..=16, Some(a_ends), Some(b_ends)) => a.len() == b.len() && a_ends == b_ends,
        _ => a == b,
    }
}

/// A key is found by the text it is stored as.
impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// For people: `u-001`, `item i-9`, `tenant acme, item i-9:2026`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tenant().is_empty() {
            write!(f, "tenant {}, ", self.tenant())?;
        }
        if self.entity() != USER {
            write!(f, "{} ", self.entity())?;
        }
        let parts: Vec<&str> = self.parts().collect();
        f.write_str(&ndjson::shown(&parts.join(":")))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_parts_and_its_redis_name() {
        let user = Key::user("", "a:b%");
        assert_eq!(
            (user.tenant(), user.entity(), user.id(), user.redis().as_str()),
            ("", "user", "a:b%", "profile:a:b%")
        );
        let item = Key::new("acme", "item", ["i:9", "50%"]);
        assert_eq!((item.tenant(), item.entity(), item.redis().as_str()), ("acme", "item", "t:acme:item:i%3A9:50%25"));
        assert_eq!(item.parts().collect::<Vec<_>>(), ["i:9", "50%"]);
        let short = Prefixes::new([("item", "i")]);
        assert_eq!((short.name(&item).as_str(), short.name(&user).as_str()), ("t:acme:i:i%3A9:50%25", "profile:a:b%"));
        assert_eq!(Key::typed("acme", "item", 2, "i%3A9:50%25"), Some(item.clone()));
        assert_eq!(Key::typed("acme", "item", 2, "i:9:50"), None);
        assert_eq!(Key::typed("", "user", 1, "a:b%"), Some(user.clone()));
        assert_eq!(Key::from_stored(item.as_str()), Some(item));
        assert_eq!(Key::from_stored("u-001"), None);
        assert_eq!(Key::plain_user(user.as_str()), Some("a:b%"));
        assert_eq!(Key::plain_user(Key::user("acme", "u-001").as_str()), None);
        assert_eq!(Key::plain_user(Key::new("", "item", ["i-9"]).as_str()), None);
        assert_eq!(Key::plain_user(Key::new("", "user", ["i-9", "2026"]).as_str()), None);
        let mut written = String::new();
        Key::write_user("acme", "u-001", &mut written);
        assert_eq!(written, Key::user("acme", "u-001").as_str());
        assert!(Key::is_user(written.as_bytes(), "acme", "u-001"));
        for (tenant, user) in
            [("", "u-001"), ("acme", "u-002"), ("acmf", "u-001"), ("acme\0\0u", "01"), ("acm", "eu-001")]
        {
            assert!(!Key::is_user(written.as_bytes(), tenant, user), "{tenant} {user}");
        }
    }

    #[test]
    fn a_stored_key_is_that_of_a_user_only_to_the_last_byte() {
        let bytes = b"abcdefghijklmnopqrst";
        for len in 1..=bytes.len() {
            let id = std::str::from_utf8(&bytes[..len]).expect("ASCII");
            let stored = Key::user("t", id);
            assert!(Key::is_user(stored.as_str().as_bytes(), "t", id), "{id}");
            assert!(!Key::is_user(stored.as_str().as_bytes(), "", id), "{id}");
            for at in 0..len {
                let mut other = bytes[..len].to_vec();
                other[at] = b'-';
                let other = String::from_utf8(other).expect("ASCII");
                assert!(!Key::is_user(stored.as_str().as_bytes(), "t", &other), "{id} {other}");
            }
            let (shorter, longer) = (&id[..len - 1], format!("{id}a"));
            assert!(![shorter, &longer].iter().any(|id| Key::is_user(stored.as_str().as_bytes(), "t", id)), "{id}");
        }
    }
}
