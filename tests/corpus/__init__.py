"""Running what others wrote: corpora beside the checkout, each with an index that says what must happen."""
