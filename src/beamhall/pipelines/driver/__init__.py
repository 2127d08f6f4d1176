"""Carrying out runs: rows first, then Pods.

A run's tasks are rows of the history. ``driver`` takes runs that want attention; ``carrier`` carries one: it tells the
engine what ended, writes what that decides in one transaction, and only then acts. ``attempt`` is one attempt of a
step, from its Pod to its outputs; ``ends`` says in words how a Pod ended. ``records`` and ``batch`` are how decisions
become rows, ``loading`` how rows become a run again, after a crash or for a retry. ``pods`` follows all Pods by one
watch, ``slots`` limits how many steps run at once, ``janitor`` keeps logs and deletes Pods of what is over.

Knows no HTTP, and nothing of how a step is made into a Pod (``steps``) or what follows from its end (``engine``).
"""
