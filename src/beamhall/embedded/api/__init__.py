"""api: to be written."""
