"""The measuring programs: `python3 -m bench` (scripts/bench.sh), `bench.cliffs` and `bench.large`, and what they share."""
