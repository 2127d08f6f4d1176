"""Programs that benchmarks run in Pods, and that their peers run."""
