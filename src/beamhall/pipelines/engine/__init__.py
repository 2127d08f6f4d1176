"""The state machine of one run: what has finished goes in, what to do next comes out.

Nothing here does input or output, has a clock, or knows of Pods and tables. ``machine`` is the way in; ``values``,
``decisions`` and ``events`` are what crosses it. Inside, ``scope`` runs a DAG and ``loop`` a loop, ``shape`` is what is
worked out once of each DAG, ``binding`` finds the inputs of a task, ``outputs`` those that a DAG gives. ``rows`` says
what is kept of stored rows when a run is restored, ``retrying`` what a retry does again.
"""
