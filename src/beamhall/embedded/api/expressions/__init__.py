"""Rules in CEL that a custom kind's schema carries (``x-kubernetes-validations``).

``rules`` knows where they stand and what they mean, ``language`` runs them, ``library`` has Kubernetes' own functions,
``values`` makes of JSON what an expression sees. CEL itself is ``cel-expr-python``, imported on first need only: it
costs 10 MiB, and few kinds have rules. Nothing here knows the store or HTTP.
"""
