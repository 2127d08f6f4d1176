"""catalog: to be written."""
