"""TrainJob (``trainer.kubeflow.org``): a training run of a few lines, over a runtime that holds the rest.

A TrainJob and its runtime become a JobSet (``jobset``), by what the runtime's ML policy says (``policies``); from then
on the JobSet's conditions are the TrainJob's. Nothing here does input or output. Start with ``planner``.
"""
