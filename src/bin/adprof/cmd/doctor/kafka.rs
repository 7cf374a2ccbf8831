//! Kafka: whether what is in the topic stays there until it has been read.

use super::{Finding, words};
use crate::given;
use adprof::bus::{Settings, TopicFacts};
use adprof::limits::LINE_MAX;
use adprof::time::show_span;

/// A stream that is down goes on from the topic: it should keep so much.
const RETENTION_LEAST: i64 = 24 * 3600 * 1000;

/// The checks of a topic; its facts, where the brokers tell them.
pub fn look(settings: &Settings, findings: &mut Vec<Finding>) -> Option<TopicFacts> {
    match TopicFacts::ask(settings) {
        Ok(facts) => {
            findings.extend(judge(settings.topic(), &facts));
            Some(facts)
        }
        Err(error) => {
            let finding = Finding::risk("kafka", given::of_kafka(&words(anyhow::anyhow!("{error}"))));
            findings.push(match error.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            });
            None
        }
    }
}

fn judge(topic: &str, facts: &TopicFacts) -> Vec<Finding> {
    let partitions = &facts.partitions;
    let messages: i64 = partitions.iter().filter_map(|p| p.ends).map(|(low, high)| high - low).sum();
    let words = format!(
        "topic `{topic}`: {} partitions, {} brokers, about {} messages",
        partitions.len(),
        facts.brokers,
        given::grouped(messages.unsigned_abs())
    );
    let mut findings = vec![Finding::ok("kafka", words), leaders(facts), copies(facts)];
    match &facts.settings {
        Ok(_) => findings.extend(settings(facts)),
        Err(why) => findings.push(
            Finding::unknown("kafka.settings", format!("the brokers do not tell the topic's settings: {why}"))
                .hint("the user needs DescribeConfigs on the topic"),
        ),
    }
    findings
}

fn leaders(facts: &TopicFacts) -> Finding {
    let without: Vec<String> =
        facts.partitions.iter().filter(|p| p.ends.is_none()).map(|p| p.number.to_string()).collect();
    if without.is_empty() {
        Finding::ok("kafka.leaders", "every partition has a leader")
    } else {
        Finding::risk(
            "kafka.leaders",
            format!("no leader for partition {}: not to be read or written", without.join(", ")),
        )
        .hint("bring its brokers back")
    }
}

fn copies(facts: &TopicFacts) -> Finding {
    const CHECK: &str = "kafka.copies";
    let least = facts.partitions.iter().map(|p| p.replicas).min().unwrap_or(0);
    let behind = facts.partitions.iter().filter(|p| p.in_sync < p.replicas).count();
    let lost = "what is lost there is still in the log: adprof collect --ship sends it again from a position";
    match facts.number("min.insync.replicas") {
        _ if least < 2 => Finding::risk(CHECK, "one copy of each message: a broken disk loses them")
            .hint(format!("a replication factor of 3 and min.insync.replicas=2; {lost}")),
        _ if behind > 0 => Finding::risk(CHECK, format!("{behind} partitions have copies that are behind"))
            .hint("bring the brokers back, or wait until they have caught up"),
        Some(1) => Finding::risk(CHECK, format!("{least} copies, and one is enough for an acknowledgement"))
            .hint("min.insync.replicas=2"),
        Some(sure) => Finding::ok(CHECK, format!("{least} copies, {sure} of them before an acknowledgement")),
        None => Finding::ok(CHECK, format!("{least} copies")),
    }
}

fn settings(facts: &TopicFacts) -> Vec<Finding> {
    let text = |name: &str| facts.settings.as_ref().ok().and_then(|all| all.get(name)).map_or("", String::as_str);
    let mut findings = Vec::new();
    findings.push(match facts.number("retention.ms") {
        Some(-1) => Finding::ok("kafka.retention", "messages are kept for ever"),
        Some(ms) if ms < RETENTION_LEAST => Finding::risk(
            "kafka.retention",
            format!("messages are kept for {} only", show_span(ms)),
        )
        .hint("a stream that is down for longer loses them and has to be rebuilt from the log: retention.ms=604800000"),
        Some(ms) => Finding::ok("kafka.retention", format!("messages are kept for {}", show_span(ms))),
        None => Finding::unknown("kafka.retention", "the brokers do not tell retention.ms"),
    });
    if let Some(bytes) = facts.number("retention.bytes").filter(|bytes| *bytes >= 0) {
        let words = format!("a partition keeps {} at most, however young", given::bytes(bytes.unsigned_abs()));
        findings
            .push(Finding::risk("kafka.retention_bytes", words).hint("retention.bytes=-1, and a disk that holds it"));
    }
    if text("cleanup.policy").contains("compact") {
        let words = "cleanup.policy=compact: of a user only the last event stays";
        findings.push(Finding::risk("kafka.compaction", words).hint("cleanup.policy=delete"));
    }
    if text("unclean.leader.election.enable") == "true" {
        let words = "a copy that is behind may become leader: acknowledged messages go";
        findings.push(Finding::risk("kafka.elections", words).hint("unclean.leader.election.enable=false"));
    }
    if let Some(most) = facts.number("max.message.bytes").filter(|most| *most < 2 * LINE_MAX as i64) {
        let words = format!(
            "a message may have {}, an event {}",
            given::bytes(most.unsigned_abs()),
            given::bytes(LINE_MAX as u64)
        );
        findings.push(Finding::risk("kafka.size", words).hint("max.message.bytes=1048588"));
    }
    findings
}
