"""Sixlane measured beside a bare server, in one run on one machine: `python -m benchmarks.run`."""
