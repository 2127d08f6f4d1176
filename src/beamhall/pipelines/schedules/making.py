"""Making the runs that schedules want, in one transaction with what the schedules become.

A time whose run cannot be made (its pipeline was deleted, the newest version wants other parameters) is over with: the
recurring run says why in words, and the next time is tried again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from beamhall.history.protocol import Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Experiment, Moment, RecurringRun, Run, Specification
from beamhall.kernel.errors import ApiError, BadRequest, NotFound
from beamhall.pipelines.runs import NOT_ENDED, add_run, check_parameters, pending, version_meant
from beamhall.pipelines.schedules.macros import Values, fill_macros
from beamhall.pipelines.schedules.planning import due, run_id, run_name
from beamhall.pipelines.schedules.triggers import time_of
from beamhall.pipelines.spec.reading import read_pipeline
from beamhall.pipelines.specifications import drop_unused

_ENABLED = Where("status", "=", "ENABLED")


@dataclass(frozen=True, slots=True)
class Made:
    """What came of looking at all schedules.

    Attributes:
        run_ids: The runs that were made.
        next_at: When a schedule is due next; 0: none will be. Before now: it waits for a run of its own to end.
    """

    run_ids: Sequence[str]
    next_at: Moment


def make_runs(tx: Writing, now: Moment, zone: str) -> Made:
    """Make the runs that are due, of all schedules that are enabled.

    Args:
        tx: The transaction.
        now: The time.
        zone: The time zone of cron expressions that name none.
    """
    made: list[str] = []
    for recurring in tx.find(RecurringRun, _ENABLED, Where("next_at", ">", 0), Where("next_at", "<=", now)):
        made += _make_runs_of(tx, recurring, now, zone)
    first = tx.find(RecurringRun, _ENABLED, Where("next_at", ">", 0), order=Order("next_at"), limit=1)
    return Made(made, first[0].next_at if first else 0)


def _make_runs_of(tx: Writing, recurring: RecurringRun, now: Moment, zone: str) -> Sequence[str]:
    running = tx.count(Run, Where("recurring_run_id", "=", recurring.id), Where("state", "in", NOT_ENDED))
    try:
        wanted = due(recurring, now, running, zone)
    except ValueError as error:  # understood by another version, or by a machine that knows more time zones
        tx.change(RecurringRun, Where("id", "=", recurring.id), error=f"its cron: {error}", next_at=0)
        return ()
    made, count, problem = [], recurring.count, ""
    for tick in wanted.ticks:
        try:
            run = _run_of(tx, recurring, tick, count + 1, now)
        except ApiError as error:
            problem = f"the run of {time_of(tick):%Y-%m-%dT%H:%M:%SZ} could not be made: {error.message}"
            continue
        count += 1
        if tx.get(Run, run.id) is None:
            add_run(tx, run)
            made.append(run.id)
    if wanted.ticks:
        tx.change(
            RecurringRun, Where("id", "=", recurring.id),
            last_at=wanted.ticks[-1], next_at=wanted.next_at, count=count, error=problem,
        )  # fmt: skip
    elif wanted.next_at != recurring.next_at:
        tx.change(RecurringRun, Where("id", "=", recurring.id), next_at=wanted.next_at)
    return made


def _run_of(tx: Writing, recurring: RecurringRun, tick: Moment, index: int, now: Moment) -> Run:
    """Give the run of a scheduled time. Raises ``ApiError`` where there can be none."""
    experiment = tx.get(Experiment, recurring.experiment_id)
    if experiment is None:
        raise NotFound(f"Experiment {recurring.experiment_id} not found")
    if experiment.storage_state == "ARCHIVED":
        raise BadRequest(f'experiment "{experiment.display_name}" is archived')
    key = run_id(recurring, tick)
    parameters = fill_macros(recurring.parameters, Values(time_of(tick), time_of(now), index, key))
    return Run(
        id=key, namespace=recurring.namespace, experiment_id=recurring.experiment_id,
        display_name=run_name(recurring, tick, index), scheduled_at=tick, recurring_run_id=recurring.id,
        service_account=recurring.service_account, pipeline_root=recurring.pipeline_root,
        description=recurring.description, parameters=parameters, plugins=recurring.plugins,
        **_source(tx, recurring), **pending(now),
    )  # fmt: skip


def _source(tx: Writing, recurring: RecurringRun) -> Mapping[str, Any]:
    """Give the fields of a run that say what it runs: the newest version is the one that there is now."""
    version = None
    digest = recurring.spec_digest
    if recurring.pipeline_id or recurring.pipeline_version_id:
        version = version_meant(tx, recurring.pipeline_id, recurring.pipeline_version_id)
        digest = version.spec_digest
    kept = tx.get(Specification, digest)
    if kept is None:
        raise NotFound(f"the specification {digest} is not kept any more")
    pipeline = read_pipeline(msgspec.json.decode(kept.body))
    if digest != recurring.spec_digest:  # newer than the one that the parameters were checked for
        check_parameters(pipeline, recurring.parameters)
        tx.change(RecurringRun, Where("id", "=", recurring.id), spec_digest=digest)
        drop_unused(tx, [recurring.spec_digest])
    of_version = {} if version is None else {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.id}
    return {"pipeline_name": pipeline.name, "spec_digest": digest, **of_version}
