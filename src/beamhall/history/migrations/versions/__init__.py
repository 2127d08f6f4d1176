"""One module a revision, the first one first. They never change once they were released."""
