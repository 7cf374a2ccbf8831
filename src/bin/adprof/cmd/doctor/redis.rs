//! Redis: whether profiles last there, and whether there is room for them.

use super::{Finding, clock, words};
use crate::given::{self, bytes};
use adprof::store::redis::{Facts, Patience, Redis};
use adprof::store::{Deployment, Privacy, RedisUrl};
use std::time::Duration;

const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(5), reply: Duration::from_secs(5), give_up: Duration::from_secs(5) };
/// Share of `maxmemory`, in percent.
const MEMORY_FULL: u64 = 90;
const ANSWER_SLOW: Duration = Duration::from_millis(20);

pub fn look(url: &RedisUrl, findings: &mut Vec<Finding>) {
    let facts = Redis::connect(url, PATIENCE).and_then(|mut redis| redis.facts());
    match facts {
        Ok(servers) => {
            findings.push(deployment(url, &servers));
            findings.push(privacy(url));
            servers.iter().for_each(|(place, facts)| findings.extend(judge(place, facts)));
        }
        Err(error) => {
            let finding = Finding::risk("redis", words(given::of_store(error.clone())));
            findings.push(match error.hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            });
        }
    }
}

fn judge(place: &str, facts: &Facts) -> Vec<Finding> {
    let answer = facts.round_trip;
    let version =
        format!("{place}: Redis {}, answers in {:.1} ms", facts.info("redis_version"), answer.as_secs_f64() * 1e3);
    let mut findings = vec![match answer > ANSWER_SLOW {
        true => Finding::risk("redis", version).hint("each publication waits for an answer: a Redis nearby"),
        false => Finding::ok("redis", version),
    }];
    findings.push(match facts.info("role") {
        "master" => Finding::ok("redis.role", "a primary: takes writes"),
        role => Finding::risk("redis.role", format!("it is a {role} and takes no writes")).hint("name the primary"),
    });
    findings.extend(persistence(facts));
    findings.push(eviction(facts));
    findings.extend(memory(facts));
    findings.push(clock("redis.clock", facts.clock, answer.as_millis() as i64));
    findings
}

/// What kind of deployment it is, and what that may lose.
fn deployment(url: &RedisUrl, servers: &[(String, Facts)]) -> Finding {
    const CHECK: &str = "redis.deployment";
    let replicas = |facts: &Facts| facts.number("connected_slaves").unwrap_or(0);
    let alone = servers.iter().filter(|(_, facts)| replicas(facts) == 0).map(|(place, _)| place.as_str());
    let alone: Vec<&str> = alone.collect();
    let all: u64 = servers.iter().map(|(_, facts)| replicas(facts)).sum();
    match url.deployment() {
        Deployment::One => match servers.first().map(|(_, facts)| facts.info("redis_mode")) {
            Some("cluster") => Finding::risk(CHECK, "a node of a cluster, named as a single server")
                .hint("write redis+cluster://host:port"),
            _ => Finding::ok(
                CHECK,
                format!("a single server with {all} replicas: when it fails, the stream waits for it"),
            ),
        },
        Deployment::Sentinel { primary } if !alone.is_empty() => {
            Finding::risk(CHECK, format!("`{primary}`, known to sentinels, has no replica to take over"))
                .hint("SENTINEL REPLICAS names those that are missing")
        }
        Deployment::Sentinel { primary } => Finding::ok(
            CHECK,
            format!("`{primary}`, known to sentinels, with {all} replicas: what a failover loses is published again"),
        ),
        Deployment::Cluster if !alone.is_empty() => {
            let words =
                format!("a cluster of {} primaries, {} without a replica to take over", servers.len(), alone.len());
            Finding::risk(CHECK, words).hint(format!("give one to {}", alone.join(", ")))
        }
        Deployment::Cluster => Finding::ok(
            CHECK,
            format!("a cluster of {} primaries with {all} replicas: a batch shows slot by slot", servers.len()),
        ),
    }
}

fn privacy(url: &RedisUrl) -> Finding {
    const CHECK: &str = "redis.tls";
    match url.privacy() {
        Privacy::Tls => Finding::ok(CHECK, "TLS, with a server that is who it says"),
        Privacy::Here => Finding::ok(CHECK, "what is said does not leave this machine"),
        Privacy::Unchecked => Finding::risk(CHECK, "TLS, but nobody checks who the server is")
            .hint("name the certificate of its issuer: --redis-cacert FILE"),
        Privacy::None => Finding::unknown(CHECK, "no TLS: whoever is on the way reads and changes everything"),
    }
}

/// Lost values come back: those of the stream at once, for it notices; those that `sink` wrote with the next night.
fn persistence(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "redis.persistence";
    let back = "after a crash the stream publishes its tags anew, those of batch are gone until `sink` runs again";
    if facts.info("aof_enabled") == "1" {
        let failed = facts.info("aof_last_write_status") != "ok" || facts.info("aof_last_bgrewrite_status") != "ok";
        return vec![match (failed, facts.setting("appendfsync")) {
            (true, _) => Finding::risk(CHECK, "the append-only file cannot be written").hint("see the log of Redis"),
            (_, Some("no")) => Finding::risk(CHECK, format!("append-only file, synced when the system likes: {back}"))
                .hint("CONFIG SET appendfsync everysec"),
            (_, Some(policy)) => Finding::ok(CHECK, format!("append-only file, appendfsync {policy}")),
            (_, None) => Finding::ok(CHECK, "append-only file"),
        }];
    }
    vec![match facts.setting("save") {
        _ if facts.info("rdb_last_bgsave_status") != "ok" => {
            Finding::risk(CHECK, "the last snapshot failed").hint("see the log of Redis")
        }
        Some("") => {
            Finding::risk(CHECK, format!("nothing is kept on a disk: {back}")).hint("CONFIG SET appendonly yes")
        }
        Some(save) => {
            Finding::risk(CHECK, format!("snapshots only (save {save}): {back}")).hint("CONFIG SET appendonly yes")
        }
        None => {
            Finding::unknown(CHECK, "no append-only file; whether snapshots are made, it does not tell (CONFIG GET)")
        }
    }]
}

fn eviction(facts: &Facts) -> Finding {
    match facts.info("maxmemory_policy") {
        "noeviction" => Finding::ok("redis.eviction", "noeviction: a full Redis refuses writes, and the stream waits"),
        policy => Finding::risk("redis.eviction", format!("{policy}: a full Redis drops profiles in silence"))
            .hint("CONFIG SET maxmemory-policy noeviction"),
    }
}

fn memory(facts: &Facts) -> Option<Finding> {
    let (used, most) = (facts.number("used_memory")?, facts.number("maxmemory")?);
    // Without a limit of its own it has the machine's.
    let (most, whose) = match most {
        0 => (facts.number("total_system_memory")?, "the machine"),
        most => (most, "maxmemory"),
    };
    let words = format!("{} of {} ({whose}) are used", bytes(used), bytes(most));
    Some(if used > most / 100 * MEMORY_FULL {
        Finding::risk("redis.memory", words).hint("more memory, or fewer tags and users")
    } else {
        Finding::ok("redis.memory", words)
    })
}
