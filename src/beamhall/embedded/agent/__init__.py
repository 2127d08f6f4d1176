"""agent: to be written."""
