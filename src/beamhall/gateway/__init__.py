"""gateway: to be written."""
