"""embedded: to be written."""
