"""What can be chosen about how runs are carried out. Read on in ``driver``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_STEPS_AT_ONCE = max(16, 8 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """Settings of the driver.

    Attributes:
        pipeline_root: URI below which runs keep their files that name no root; a plain absolute path is this machine.
        fail_fast: After a failure, a DAG starts no new tasks, as KFP's backend does; False: independent ones go on.
        final_status_state: What exit tasks are told of success: ``SUCCEEDED``, or ``COMPLETE`` as KFP's backend.
        caching: Whether results of earlier runs are used.
        loop_window: How many iterations of loops are alive at once, in each run.
        steps_at_once: How many steps run at once, of all runs together; the others are PENDING.
        runs_at_once: How many runs are carried at once; the others are PENDING.
        fit_steps: Whether steps that ask for what no node has do with what there is. For clusters that do not grow.
        launcher: What runs around steps whose files are not on this machine; see ``steps.facts.RunFacts``.
        poll_s: How often the table of runs is looked at, in case that nobody rang.
        sweep_s: How often Pods are looked for that nobody needs.
        calm_s: How long no step may have ended before Pods that are over are cleared away, unless there are hundreds.
        failed_pods_kept_s: How long the Pod of a failed step stays, for people to look at; its log is kept anyway.
        failed_pods_kept: How many such Pods stay; the oldest go first.
        start_patience_s: How long a Pod may be unable to start (its image is not known, say) before its step fails.
    """

    pipeline_root: str
    fail_fast: bool = True
    final_status_state: str = "SUCCEEDED"
    caching: bool = True
    loop_window: int = 256
    steps_at_once: int = DEFAULT_STEPS_AT_ONCE
    runs_at_once: int = 256
    fit_steps: bool = False
    launcher: Sequence[str] = ("beamhall-launcher",)
    poll_s: float = 5.0
    sweep_s: float = 60.0
    calm_s: float = 0.3
    failed_pods_kept_s: float = 3600.0
    failed_pods_kept: int = 100
    start_patience_s: float = 30.0
