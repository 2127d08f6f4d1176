"""Measurements on demand: ``python -m benchmarks [NAME ...]`` prints JSON lines."""
