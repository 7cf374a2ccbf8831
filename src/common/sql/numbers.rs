//! Numbers of a line for engines that read JSON's numbers by way of a double.
//!
//! Such an engine still has the text of the line: where a number may have more digits than a double, it is looked for
//! there, behind its key, and must be the only one that gives the same double.

use serde_json::json;

/// Below it a number of six places has at most 15 digits, which a double keeps.
pub const EXACT: &str = "1e9";

/// A regular expression whose first group is the number behind a key.
pub fn number_of_key(name: &str) -> String {
    let json = json!(name).to_string();
    let plain =
        |c: char| if c.is_alphanumeric() || c == '_' || !c.is_ascii() { String::from(c) } else { format!("\\{c}") };
    let name: String = json[1..json.len() - 1].chars().map(plain).collect();
    format!(r#""{name}"\s*:\s*(-?[0-9][0-9.eE+-]*)"#)
}
