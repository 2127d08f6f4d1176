"""The scheduler: which unbound Pods go to which node now, groups whole or not at all, and why the others wait.

``planner`` is the way in. ``units`` is the queue, ``shapes`` what Pods ask for, ``cluster`` the nodes in one pass,
``eligibility`` and ``neighbours`` who may go where, ``fits`` which node is best, ``preemption`` who has to go for more
urgent Pods, ``writing`` the actions, ``words`` the reasons. All of it is pure.
"""

from beamhall.embedded.workloads.scheduling.planner import plan_scheduling

__all__ = ["plan_scheduling"]
