"""JobSet (``jobset.x-k8s.io``): Jobs that belong together, which is what a TrainJob becomes.

The embedded cluster runs its planner as it runs that of Jobs; a real cluster has the JobSet controller for it. Nothing
here knows TrainJobs, and nothing does input or output. Start with ``planner``.
"""
