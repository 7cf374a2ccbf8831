"""The guards, each with what takes it away and the test that must go red without it.

`before` stands once in the file; `MUTANT` in `after` is true while this mutant is the one that is tried.
"""

from dataclasses import dataclass


@dataclass
class Guard:
    name: str
    law: str
    file: str
    before: str
    after: str
    test: tuple  # (test binary, the name of a test in it)


RUN, BUS, LOG = "src/common/run", "src/common/bus", "src/common/log"

GUARDS = [
    Guard("token", "a batch is written only under the token that was expected", "src/common/store/redis/write.rs",
          "if !own && watch.found.as_deref() != expected {", "if !MUTANT && !own && watch.found.as_deref() != expected {",
          ("standby", "a_zombie_finds_itself_fenced_when_it_wakes")),
    Guard("offset", "states and offsets are saved in one transaction", f"{RUN}/keep.rs",
          "let mut states = Vec::with_capacity(self.live.unsaved());\n",
          "let mut states = Vec::with_capacity(self.live.unsaved());\n"
          "        if MUTANT && self.report.counts.consumed % 2 == 0 { self.live.save(|_, _| {}); }\n",
          ("stream_store", "killed_again_and_again_each_message_counts_once_and_readers_never_fail")),
    Guard("dedup", "an event that comes twice counts once", "src/common/engine/live.rs",
          "if !new {\n            return Outcome::Duplicate;", "if !new && !MUTANT {\n            return Outcome::Duplicate;",
          ("stream_store", "killed_again_and_again_each_message_counts_once_and_readers_never_fail")),
    Guard("sync", "the log is synced before the acknowledgement", "src/common/disk.rs",
          "fault::check(Op::Sync).and_then(|()| self.file.sync_data())",
          "fault::check(Op::Sync).and_then(|()| if MUTANT { Ok(()) } else { self.file.sync_data() })",
          ("collect", "the_disk_has_it_before_the_word_is_out")),
    Guard("named", "what was synced can be found under its name", "src/common/disk.rs",
          "if named.is_ok_and(|named|", "if MUTANT || named.is_ok_and(|named|",
          ("faults", "disk::a_log_that_becomes_read_only_or_is_deleted_ends_collect_and_no_event_is_lost")),
    Guard("base", "an event that a base has does not count again", "src/common/engine/tail.rs",
          "self.base.is_some_and(|base| day <= base)", "!MUTANT && self.base.is_some_and(|base| day <= base)",
          ("base", "interleavings::a_store_that_has_only_a_base_begins_its_stream_at_the_beginning_and_drops_what_is_covered")),
    Guard("silence", "after a restart nothing is told before the token's offsets are reached", f"{RUN}/projection.rs",
          "if self.publisher.is_busy() || !self.silent_until.is_empty() {",
          "if self.publisher.is_busy() || !MUTANT && !self.silent_until.is_empty() {",
          ("stream_redis", "a_state_far_behind_redis_catches_up_in_silence")),
    Guard("left", "who stops in good order says so", f"{RUN}/projection.rs",
          "Order::Beat { reached, left: true }", "Order::Beat { reached, left: !MUTANT }",
          ("standby", "one_that_stops_in_good_order_is_not_waited_for")),
    Guard("left-silent", "who must be silent does not say that he left", f"{RUN}/projection.rs",
          "if self.claimed && self.silent_until.is_empty() &&", "if self.claimed && (MUTANT || self.silent_until.is_empty()) &&",
          ("standby", "stopped_while_it_must_be_silent_it_keeps_what_redis_may_show")),
    Guard("alive", "a standby waits while the other gives signs of life", f"{RUN}/standby.rs",
          "Some((seen, since)) if *seen == text =>", "Some((seen, since)) if MUTANT || *seen == text =>",
          ("standby", "a_standby_is_silent_while_the_first_lives_and_takes_over_seconds_after_it_was_killed")),
    Guard("lost", "a token that is gone is a loss and not another writer", f"{RUN}/publish.rs",
          "None => Answer::Lost,", "None => if MUTANT { Answer::Fenced } else { Answer::Lost },",
          ("stream_redis", "a_redis_that_lost_its_data_is_told_everything_again_within_seconds")),
    Guard("sound", "at the start too it is noticed that Redis lost its data", f"{RUN}/publish.rs",
          "let sound = found.as_ref().is_some_and(|found| found.continues(&self.token));",
          "let sound = MUTANT || found.as_ref().is_some_and(|found| found.continues(&self.token));",
          ("stream_redis", "a_redis_that_lost_its_data_is_told_everything_again_within_seconds")),
    Guard("rewound", "an older token of ours means that data was lost", f"{RUN}/publish.rs",
          "token.batch < self.token.batch => Answer::Lost", "!MUTANT && token.batch < self.token.batch => Answer::Lost",
          ("faults", "stores::a_data_set_emptied_swapped_or_rewound_is_noticed_and_told_again")),
    Guard("beat", "a loss is noticed while there is nothing to tell", f"{RUN}/projection.rs",
          "} else if self.looked.elapsed() >= SIGN_OF_LIFE / 2 {", "} else if !MUTANT && self.looked.elapsed() >= SIGN_OF_LIFE / 2 {",
          ("stream_redis", "a_redis_that_lost_its_data_is_told_everything_again_within_seconds")),
    Guard("untold", "a checkpoint names what Redis was not told", f"{RUN}/projection.rs",
          "flying.chain(live.untold_keys()).map(", "flying.chain(live.untold_keys()).take(if MUTANT { 0 } else { usize::MAX }).map(",
          ("stream_redis", "what_was_absorbed_but_not_published_at_a_crash_is_published_at_the_next_start")),
    Guard("arrived", "the shipping position passes only what Kafka has", "src/bin/adprof/ship.rs",
          "&& sequence <= acked", "&& (MUTANT || sequence <= acked)",
          ("collect_kafka", "killed_while_shipping_and_run_again_every_event_arrives_with_its_key")),
    Guard("torn", "a torn tail is set aside before anything is appended", f"{LOG}/torn.rs",
          "if whole == len {\n        return Ok(None);", "if MUTANT || whole == len {\n        return Ok(None);",
          ("faults", "disk::a_log_torn_at_any_byte_is_collected_into_and_read_without_a_torn_line")),
    Guard("lock", "one writer has a log at a time", f"{LOG}/lock.rs",
          "match patiently(&file) {\n            Ok(()) => {}", "match patiently(&file) {\n            _ if MUTANT => {}\n            Ok(()) => {}",
          ("collect", "a_second_collect_on_the_same_log_is_sent_away_and_told_who_holds_it")),
    Guard("crc", "a damaged message of Kafka stops the stream", f"{BUS}/fetch.rs",
          "Err(BusError::Damaged { topic, why }.into())",
          "if MUTANT { Ok(()) } else { Err(BusError::Damaged { topic, why }.into()) }",
          ("faults", "link::what_comes_damaged_from_kafka_is_not_taken_for_an_event")),
    Guard("witness", "a topic made anew is another topic", f"{BUS}/fetch.rs",
          "Witness::of(&message) != witness {", "!MUTANT && Witness::of(&message) != witness {",
          ("kafka_faults", "a_topic_made_anew_is_noticed_shorter_or_longer")),
    Guard("range", "messages that are gone are not skipped", f"{BUS}/topic.rs",
          "if next < low {", "if !MUTANT && next < low {",
          ("stream_store", "retention_that_overtook_the_state_is_an_error_of_its_own_and_nothing_is_skipped")),
]  # fmt: skip
