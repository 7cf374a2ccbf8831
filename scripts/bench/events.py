"""The input: a file of generated events in which nearly every user occurs, and 1 % of duplicates."""

from .process import lines_in, run, say

START = "2026-01-01"
DAYS = 30
# The end of the last day: the instant at which every engine looks, so that none has to find the last event first.
AS_OF_MS = 1_769_817_600_000


def generate(adprof, folder, events, users, name="events.ndjson"):
    """(path, lines, the run that made it)."""
    say(f"generating {events:,} events of {users:,} users")
    path = folder / name
    # Every event by itself and users with weights of k^-1/2: 97 % of them occur, with 1 to some thousand events.
    command = [adprof, "gen", "--events", events, "--users", users, "--skew", "0.5", "--session", "1", "--seed", "1"]
    command += ["--start", START, "--days", DAYS, "--duplicates", "1%"]
    made = run(list(map(str, command)), folder, stdout=path)
    return path, lines_in(path), made


def about(path, lines, users):
    size = path.stat().st_size
    return (
        f"- input: {lines:,} events ({size / 2**20:,.0f} MiB, {size / lines:.0f} bytes a line) of at most {users:,} users, "
        "1 % of them duplicates"
    )
