"""A started task that has not ended, as the carrier of its run knows it. Read on in ``carrier``."""

from dataclasses import dataclass

from beamhall.history.records import Moment, Task
from beamhall.pipelines.driver.attempt import Attempt
from beamhall.pipelines.driver.records import ATTEMPTS, SECOND
from beamhall.pipelines.engine.decisions import Start, State
from beamhall.pipelines.spec.ir import RetryPolicy


@dataclass(slots=True)
class Live:
    """What is known of it.

    Attributes:
        start: What the engine decided; None: only that it is to be stopped.
        task: Its row, as it was last written or will be next.
        again: Whether its Pod may be there already.
        attempt: The attempt that goes on, if one does.
        has_slot: Whether it holds a slot.
        is_stopped: Whether it was to be stopped.
    """

    start: Start | None
    task: Task
    again: bool = False
    attempt: Attempt | None = None
    has_slot: bool = False
    is_stopped: bool = False

    @property
    def may_retry(self) -> bool:
        """Whether it is tried again if its attempt fails."""
        return not self.is_stopped and self._tries < min(self._policy.max_retry_count, ATTEMPTS - 1)

    @property
    def is_first(self) -> bool:
        """Whether it was not tried again since its run was begun, or retried."""
        return not self._tries

    @property
    def _policy(self) -> RetryPolicy:
        return (self.start.retry if self.start is not None else None) or RetryPolicy()

    @property
    def _tries(self) -> int:
        """How often it was tried again since its run was begun, or retried."""
        return self.task.attempt % ATTEMPTS

    def back_off_s(self, now: Moment) -> float:
        """Give how many seconds its next attempt has to wait still; 0 for a first one."""
        if not self._tries or self.task.state != State.PENDING:
            return 0.0
        failed_at = int(self.task.state_history[-1]["update_time"])
        return max(0.0, delay_s(self._policy, self._tries) - (now - failed_at) / SECOND)


def delay_s(policy: RetryPolicy, tries: int) -> float:
    """Give how long to wait before the retry of this number, from 1.

    Source: kubeflow/pipelines ``pipeline_spec.proto``, ``RetryPolicy``.
    """
    try:
        wait = policy.backoff_duration * policy.backoff_factor ** (tries - 1)
    except OverflowError:
        return policy.backoff_max_duration
    return max(0.0, min(wait, policy.backoff_max_duration))
