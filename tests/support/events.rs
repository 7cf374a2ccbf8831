//! Events as tests write them, and logs as they read them.

/// A good event; ids count up, 97 users.
pub fn event(id: u64) -> String {
    let at = 1_731_296_325_000 + id;
    format!("{{\"eventId\":\"e-{id}\",\"userId\":\"u-{}\",\"eventType\":\"click\",\"timestamp\":{at}}}\n", id % 97)
}

/// The ids of the whole lines of a log, in their order.
pub fn ids(log: &str) -> Vec<String> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole.lines().map(|line| field(line.as_bytes(), "eventId")).collect()
}

/// The text of a field of a line.
pub fn field(line: &[u8], name: &str) -> String {
    let value: serde_json::Value = serde_json::from_slice(line).expect("whole lines are JSON");
    value[name].as_str().expect("a string").to_owned()
}
