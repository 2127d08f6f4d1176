"""Measurements on demand: ``python -m benchmarks [NAME ...]`` prints JSON lines, each beside what it is held against."""
