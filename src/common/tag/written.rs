//! What a definition file says of a tag, as it was written.

use super::Definitions;
use super::keys::TAG;
use toml::{Table, Value};

impl Definitions {
    /// The keys of a tag with what stands behind them, in the order of the schema. Tables such as `quality` are left out.
    pub fn written(&self, tag: usize) -> Vec<(&'static str, String)> {
        let file: Table = self.text.parse().expect("definitions that exist were read from this text");
        let table = file.get("tag").and_then(|tags| tags.get(tag));
        let text = |key: &str| match table?.get(key)? {
            Value::Table(_) | Value::Array(_) => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        TAG.keys.iter().filter_map(|key| Some((key.name, text(key.name)?))).collect()
    }
}
