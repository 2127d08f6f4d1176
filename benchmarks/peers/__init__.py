"""Programs of peers, each run in a process of its own."""
