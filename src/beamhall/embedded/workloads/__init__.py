"""workloads: to be written."""
