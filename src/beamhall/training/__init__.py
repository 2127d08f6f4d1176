"""Training jobs: one planner for every framework, one small file a framework.

Nothing here does input or output. ``job`` reads a job object, ``planner`` decides, ``frameworks`` says what is special
about each kind, ``crds`` gives the definitions to install. Start with ``planner``.
"""
