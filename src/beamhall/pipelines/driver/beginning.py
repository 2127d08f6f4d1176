"""How a run begins to be carried: its engine is made anew, or of its rows. Read on in ``carrier``."""

from collections.abc import Sequence

import msgspec

from beamhall.history.queries import Where
from beamhall.history.records import Run
from beamhall.kernel.errors import ApiError, BadRequest
from beamhall.kernel.objects import Object
from beamhall.pipelines.driver.carrier import Carrier
from beamhall.pipelines.driver.files import Root
from beamhall.pipelines.driver.ledger import TERMINATED, Ledger
from beamhall.pipelines.driver.loading import Loaded
from beamhall.pipelines.driver.records import SECOND, row_of, time_of
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.decisions import Decision, End, State
from beamhall.pipelines.engine.events import Options
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.roots import check_root
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.step import Steps


async def rooted(tools: Tools, run: Run, pipeline: Pipeline) -> tuple[Run, Root]:
    """Give a run with its root, and that of its namespace. What the namespace says is kept: it counts until the end.

    Raises:
        ApiError: What the namespace says cannot be read, or the root not be kept, or it may not be used.
    """
    root = await tools.root_of(run.namespace)
    specified = pipeline.spec.default_pipeline_root
    has_store = not specified or await _has_store(specified, root)
    said = run.pipeline_root or (specified if has_store else "")
    own = root.uri or tools.settings.pipeline_root
    await check_root(said or own, root.storage)
    if said or (has_store and not root.uri):
        return run, root
    await tools.history.write(lambda tx: tx.change(Run, Where("id", "=", run.id), pipeline_root=own))
    return msgspec.structs.replace(run, pipeline_root=own), root


async def _has_store(uri: str, root: Root) -> bool:
    """Tell whether there is a store behind the root that a pipeline was compiled with.

    ``minio://`` means the store that an installation of KFP brings along. Where there is none, the service's own root
    stands for it, so that pipelines which were written for such an installation run.
    """
    if not uri.startswith("minio://"):
        return True
    try:
        await root.storage.exists(uri)
    except BadRequest:
        return False
    except ApiError:  # it has an address; what else is wrong is said when it is used
        return True
    return True


def facts_of(run: Run, pipeline: Pipeline, settings: DriverSettings, env: Sequence[Object]) -> RunFacts:
    """Give what the steps of a run are made of; ``env`` is the launcher's."""
    root = run.pipeline_root or pipeline.spec.default_pipeline_root or settings.pipeline_root
    return RunFacts(
        namespace=run.namespace,
        run_id=run.id,
        pipeline=pipeline,
        created_at=time_of(run.created_at),
        pipeline_root=root,
        display_name=run.display_name,
        scheduled_at=time_of(run.scheduled_at) if run.scheduled_at else None,
        service_account=run.service_account,
        caching=settings.caching,
        launcher=tuple(settings.launcher),
        launcher_env=env,
    )


def begun(tools: Tools, found: Loaded, ledger: Ledger, steps: Steps, *, is_canceling: bool) -> Carrier:
    """Make the carrier of a run: of a new one, of one that goes on, or of one that is to end.

    Args:
        tools: What the driver has.
        found: The run, with the rows that count.
        ledger: Of the same.
        steps: Makes its steps.
        is_canceling: Whether it is to end soon.
    """
    run, pipeline, settings = found.run, steps.facts.pipeline, tools.settings
    options = Options(
        fail_fast=settings.fail_fast,
        final_status_state=settings.final_status_state,
        job=steps.facts.job,
        loop_window=settings.loop_window,
    )
    if found.tasks:
        rows = [row_of(task) for task in found.tasks]
        machine, decisions = RunMachine.restored(pipeline, run.parameters, options, rows, canceling=is_canceling)
    else:
        machine, decisions = RunMachine(pipeline, run.parameters, options), ()
        decisions = _ended_before_it_began() if is_canceling else machine.begin()
    limit_s = pipeline.config.active_deadline_seconds
    deadline_s = None
    if limit_s:
        deadline_s = limit_s - (tools.now() - run.started_at) / SECOND if run.started_at else float(limit_s)
    return Carrier(tools, ledger, steps, machine, decisions, deadline_s)


def _ended_before_it_began() -> tuple[Decision, ...]:
    return (End(State.CANCELED, TERMINATED),)
