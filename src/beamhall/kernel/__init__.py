"""Plain values that every floor shares: objects, kinds, plans, selectors, patches, schemas, errors.

Nothing here does input or output, runs a loop, or reads a clock. Start with ``objects``, then ``plan``.
"""
