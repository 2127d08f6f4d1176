"""app: to be written."""
