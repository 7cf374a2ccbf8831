//! Which librdkafka properties users may set: all but those that adprof's promise rests on.
//!
//! A guarded property is refused with its reason unless it repeats what adprof sets
//! anyway, so that a properties file shared with other tools still loads.

/// A property that is not the user's to change.
pub(super) struct Guard {
    pub names: &'static [&'static str],
    /// The values that change nothing.
    pub same: &'static [&'static str],
    pub why: &'static str,
}

const OWN_OFFSETS: &str = "adprof keeps its own offsets, and a commit of its own would lose events in a crash";
const OWN_PARTITIONS: &str = "adprof takes whole partitions by itself, without a group's rebalancing";
const KEEPS_ORDER: &str = "without it a retry could lose, repeat or reorder events";
const NO_DROP: &str = "a message given up on during an outage would be lost";

pub(super) const GUARDS: &[Guard] = &[
    Guard { names: &["enable.auto.commit", "auto.commit.enable"], same: &["false"], why: OWN_OFFSETS },
    Guard { names: &["enable.auto.offset.store"], same: &["false"], why: OWN_OFFSETS },
    Guard { names: &["offset.store.method", "offset.store.path"], same: &[], why: OWN_OFFSETS },
    Guard {
        names: &["auto.offset.reset"],
        same: &["error"],
        why: "an offset that is gone must stop the command, not skip events; where to begin is said with `-o`",
    },
    Guard { names: &["enable.partition.eof"], same: &["true"], why: "`-e` rests on it" },
    Guard { names: &["check.crcs"], same: &["true"], why: "a damaged message must not pass" },
    Guard {
        names: &["isolation.level"],
        same: &["read_committed"],
        why: "events of an aborted transaction never happened",
    },
    Guard {
        names: &["group.instance.id", "group.protocol", "group.remote.assignor", "partition.assignment.strategy"],
        same: &[],
        why: OWN_PARTITIONS,
    },
    Guard {
        names: &["acks", "request.required.acks"],
        same: &["all", "-1"],
        why: "an event is sent when all replicas have it",
    },
    Guard { names: &["enable.idempotence"], same: &["true"], why: KEEPS_ORDER },
    Guard {
        names: &["max.in.flight.requests.per.connection", "max.in.flight"],
        same: &["1", "2", "3", "4", "5"],
        why: KEEPS_ORDER,
    },
    Guard { names: &["transactional.id"], same: &[], why: "adprof does not write in transactions" },
    Guard {
        names: &["partitioner"],
        same: &["murmur2_random"],
        why: "one user's events must go to the partition where Java clients put them",
    },
    Guard { names: &["message.timeout.ms", "delivery.timeout.ms"], same: &["0"], why: NO_DROP },
    Guard { names: &["retries", "message.send.max.retries"], same: &["2147483647"], why: NO_DROP },
    Guard {
        names: &["debug", "log_level"],
        same: &[],
        why: "adprof reads the library's log itself; `kcat -d` shows it",
    },
    Guard { names: &["statistics.interval.ms"], same: &["1000"], why: "the lag is read from it" },
];

/// Why `key = value` may not be set, if it may not.
pub(super) fn refusal(key: &str, value: &str) -> Option<&'static str> {
    let guard = GUARDS.iter().find(|g| g.names.contains(&key))?;
    (!guard.same.contains(&value.trim())).then_some(guard.why)
}

/// Whether the value of `key` must never be shown, nor stand on a command line.
pub(super) fn is_secret(key: &str) -> bool {
    ["password", "secret", "passphrase", "key.pem"].iter().any(|part| key.contains(part))
        || matches!(key, "sasl.oauthbearer.config" | "sasl.jaas.config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_promise_rests_on_is_refused_unless_it_says_the_same() {
        for guard in GUARDS {
            for name in guard.names {
                assert!(refusal(name, "something else").is_some(), "{name}");
                for same in guard.same {
                    assert!(refusal(name, same).is_none(), "{name}={same}");
                }
            }
        }
        assert!(refusal("linger.ms", "5").is_none());
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for key in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.private.key.passphrase",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["sasl.username", "ssl.ca.pem", "ssl.key.location", "linger.ms"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
