"""Stand-ins that tests share: a cluster in memory, and a loop whose time does not take any."""
