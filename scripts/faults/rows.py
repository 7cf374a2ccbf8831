"""The table of faults: each row with how it is injected, what is expected, and the tests that do both."""

from dataclasses import dataclass


@dataclass
class Row:
    number: int
    fault: str
    how: str
    expected: str
    tests: list  # (test binary, beginning of the names of its tests)


def row(number, fault, how, expected, *tests):
    return Row(number, fault, how, expected, [tuple(test.split(" ")) for test in tests])


ROWS = [
    row(1, "stream killed", "`kill -9` at random, 50 times", "at work again within 5 s; each message counts once; no value goes back",
        "faults kills::a_stream_killed_fifty", "stream_store killed_again", "stream_redis killed_again"),
    row(2, "stream killed at its N-th write, sync or send", "strace, `signal=SIGKILL:when=N`", "as 1",
        "faults kills::a_stream_killed_at_its_nth", "base crash::a_stream"),
    row(3, "collect killed under load, the client tries again", "`kill -9`", "what was acknowledged is in the log; what comes twice counts once",
        "collect killed_under_load", "collect_kafka killed_while"),
    row(4, "collect killed between sync and acknowledgement, and between log and Kafka", "strace at the N-th call",
        "in the log; shipped by the next run", "faults kills::a_collect_killed", "collect the_disk_has_it"),
    row(5, "batch, sink, night, care of the log killed at each stage", "strace at each call; tools that kill",
        "run again: the same bytes; nobody goes back", "faults kills::a_sink", "sink killed_half_way", "base crash::a_batch",
        "history faults::", "batch output::killed", "log_care crash::", "nightly crash::"),
    row(6, "SIGTERM under load, and twice", "`kill -TERM`", "0 within 30 s, nothing in flight lost; the second ends it at once",
        "faults kills::a_stream_told", "faults kills::a_stream_that_waits", "stream_store told_to_stop",
        "collect told_to_stop", "collect the_second_signal"),
    row(7, "zombie", "SIGSTOP until another took over, SIGCONT", "its batch is refused, it ends with 75", "standby a_zombie"),
    row(8, "two streams on a state, two collects on a log", "started twice", "the second ends with 75 and names the first",
        "faults kills::the_second_owner", "stream_store a_second_stream", "collect a_second_collect"),
    row(9, "broker killed, still for 90 s, away longer than the sender's timeout", "`kill -9`, SIGSTOP",
        "collect goes on acknowledging; the lag drains; no busy loop", "faults broker::a_broker", "faults broker::an_outage",
        "kafka_faults a_broker_that_stands", "kafka_faults a_full_queue", "collect_kafka without_kafka", "collect_kafka a_broker"),
    row(10, "two streams on the same partitions change places", "SIGSTOP of either in turn, every 3.5 s",
        "one publishes at any time; nothing lost, no value goes back", "standby "),
    row(11, "topic made anew shorter or longer, grown, overtaken by retention; group deleted", "Kafka's admin calls",
        "66 with its own words, a rebuild repairs it; a group is of no concern", "faults broker::a_topic", "faults broker::a_group",
        "kafka_faults an_offset", "kafka_faults a_topic_made", "kafka_faults what_happens", "kafka_faults retention",
        "stream_store retention"),
    row(12, "Redis killed, appending always, each second, never", "`kill -9` under load", "everything is told again; never a silent zero",
        "faults stores::a_redis_killed", "store_redis a_server_killed"),
    row(13, "failover that lost writes, REPLICAOF and back, FLUSHALL, SWAPDB, old RDB", "commands and files",
        "noticed within a batch or a second, repaired", "faults stores::a_data_set", "faults stores::a_failover",
        "stream_redis a_redis_that_lost", "standby a_redis_that_lost"),
    row(14, "Redis still for 30 s, DEBUG SLEEP, CLIENT KILL, SCRIPT FLUSH", "commands, SIGSTOP", "waits, memory flat, nothing twice",
        "faults stores::a_redis_that_sleeps", "faults stores::a_redis_that_stands", "stream_redis a_redis_that_stands",
        "store_redis connections_cut", "store_redis an_answer"),
    row(15, "Redis full, with an eviction policy, its disk full", "CONFIG SET; tmpfs of 4 MiB",
        "waits and says so; doctor warns; verify finds what was evicted", "faults stores::a_redis_that_is_full",
        "faults stores::what_an_eviction", "faults stores::a_redis_whose_disk"),
    row(16, "one profile deleted or of the wrong type", "DEL, SET", "found by verify, or reported; the others flow",
        "faults stores::one_profile", "stream_redis a_key_of"),
    row(17, "right revoked, wrong password, read-only replica", "ACL SETUSER, REPLICAOF", "77; nothing is skipped",
        "faults stores::a_right", "faults stores::a_master", "store_redis each_fault"),
    row(18, "connection cut after any byte, answer lost, one way dropped, bits flipped", "TCP proxy",
        "the token is read back, nothing twice; damaged messages of Kafka end it with 74", "faults link::a_connection",
        "faults link::an_answer", "faults link::a_redis", "faults link::flipped", "faults link::what_comes"),
    row(19, "slow link, slow disk", "TCP proxy, 4 kB/s; strace, 0.7 s a sync", "only keys wait, memory flat; publishes at once",
        "faults link::behind", "faults link::on_a_slow"),
    row(20, "disk full, quota, 64 open files", "tmpfs, prlimit", "a clear error, no torn line, goes on when there is room",
        "faults disk::with_few", "faults disk::at_a_quota", "faults disk::a_stream_whose", "collect on_a_full", "store_embedded a_full"),
    row(21, "EIO at the N-th sync or write, EINTR", "strace, `error=EIO:when=N`", "stops, no acknowledgement; the next start is right",
        "faults disk::a_sync", "faults disk::calls", "collect a_sync", "store_embedded after_a_sync"),
    row(22, "read-only, folder deleted, disk that hangs", "remount, `rm -r`, strace", "error and code; no word for what is not there",
        "faults disk::a_log_that", "faults disk::on_a_disk"),
    row(23, "torn tail, changed byte in the middle of the log", "cut at every byte of three lines; bits",
        "the tail is set aside; a changed line is refused with its place", "faults disk::a_log_torn", "faults disk::a_byte",
        "collect a_torn", "log_care refused::damage"),
    row(24, "embedded store damaged, cut, of another format", "bytes; a store of the first format",
        "noticed or right, never wrong; rebuilt from the log", "faults disk::an_embedded", "store_damage ", "base old_state"),
    row(25, "clock a day ahead or behind, standing still; DST, midnight", "libfaketime; given instants",
        "no event lost, no window lost; days by the zone", "faults time::a_clock", "calendar "),
    row(26, "an event of 2099, one of 1970, an idle partition", "sent to Kafka", "the others are unaffected", "faults time::one_event"),
    row(27, "a user with 90 % of a million events", "sent to Kafka", "memory bounded, latency below 1 s", "faults load::a_user"),
    row(28, "base early, late, twice, out of order, beside a stream", "commands", "totals exact", "base interleavings", "base kafka",
        "base redis", "base warming"),
    row(29, "older and newer program in turn on one state", "two builds", "works, or refuses clearly", "faults kills::an_older"),
    row(30, "little memory, a twentieth of a core", "control groups", "stays under its limit, or is case 1", "faults load::with_little"),
    row(31, "10,000 connections that say nothing, slow heads", "sockets", "others are answered, memory flat", "faults load::thousands",
        "metrics whoever"),
    row(32, "everything at random", "`scripts/soak.sh`", "each profile is that of the fold whenever it heals"),
]  # fmt: skip
