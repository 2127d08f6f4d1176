"""What is written of a run in one transaction, and what is learnt in it. Read on in ``carrier``.

A task that changed twice is written once, as it is last. Everything is written so that doing it twice does no harm but
one: events would be told twice, so a transaction whose outcome is known is not done again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from beamhall.history.protocol import Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Artifact, ArtifactTask, Moment, Run, RunEvent, Task
from beamhall.pipelines.driver.records import OfRun, task_event
from beamhall.pipelines.engine.decisions import State


class Committed(msgspec.Struct, frozen=True):
    """What a transaction came to.

    Attributes:
        is_gone: There is no such run any more; nothing was written.
        cached: For fingerprints that were asked for, the newest task that succeeded, if any did.
    """

    is_gone: bool = False
    cached: Mapping[str, Task] = msgspec.field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """What is to be written.

    Attributes:
        of: The run.
        now: When all of it happened.
        tasks: Rows of tasks, by path.
        artifacts: Artifacts that are new.
        links: Lineage.
        states: States that the run goes through, with errors.
        fields: Other fields of the run.
        fingerprints: Results of earlier runs to look for.
    """

    of: OfRun
    now: Moment
    tasks: dict[str, Task] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    links: list[ArtifactTask] = field(default_factory=list)
    states: list[tuple[State, str]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    fingerprints: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.states or self.fields or self.fingerprints)

    def write(self, tx: Writing) -> Committed:
        """Write all of it."""
        mine = Where("id", "=", self.of.run_id)
        fields = dict(self.fields)
        if self.states:
            run = tx.get(Run, self.of.run_id)
            if run is None:
                return Committed(is_gone=True)
            entries = [self._entry(state, error) for state, error in self.states]
            if entries[0]["state"] == run.state:  # the API wrote it when it was asked for
                del entries[0]
            fields["state_history"] = [*run.state_history, *entries]
            fields["state"] = self.states[-1][0].value
        if fields and not tx.change(Run, mine, **fields):
            return Committed(is_gone=True)
        if not fields and tx.get(Run, self.of.run_id) is None:
            return Committed(is_gone=True)
        tx.put(*self.tasks.values(), *self.artifacts, *self.links)
        tx.add(*(task_event(task, self.now) for task in self.tasks.values() if task.path), *self._run_events(fields))
        return Committed(cached=self._look_up(tx))

    def _entry(self, state: State, error: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"update_time": self.now, "state": state.value}
        return {**entry, "error": error} if error else entry

    def _run_events(self, fields: Mapping[str, Any]) -> Sequence[RunEvent]:
        told = {name: fields[name] for name in ("state", "error", "tasks") if name in fields}
        if not told:
            return ()
        of = self.of
        return (RunEvent(namespace=of.namespace, run_id=of.run_id, kind="run", created_at=self.now, data=told),)

    def _look_up(self, tx: Writing) -> Mapping[str, Task]:
        """Find earlier results here, where it costs no round trip: the transaction is on the writer's thread anyway."""
        found: dict[str, Task] = {}
        for fingerprint in dict.fromkeys(self.fingerprints):
            newest = tx.find(
                Task,
                Where("namespace", "=", self.of.namespace),
                Where("fingerprint", "=", fingerprint),
                Where("state", "=", State.SUCCEEDED.value),
                order=Order("finished_at", is_descending=True),
                limit=1,
            )
            if newest:
                found[fingerprint] = newest[0]
        return found
