"""What all steps of a run share: which run it is, of which pipeline, where its files go, whose account it has.

Everything here is known when the run begins and does not change. Read on in ``step``.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from beamhall.kernel.objects import Object
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.placeholders import WORKSPACE_PATH
from beamhall.pipelines.steps.layout import execution_root, run_root
from beamhall.pipelines.steps.naming import run_name


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run.

    Attributes:
        namespace: Where its Pods and claims are.
        run_id: Its id.
        pipeline: What it executes; checked.
        created_at: When it was made; with a time zone.
        pipeline_root: URI below which everything is kept; a plain absolute path means this machine.
        display_name: What people call it.
        scheduled_at: For which time a schedule made it, if one did; with a time zone.
        service_account: Whom its Pods act as; empty is the namespace's default.
        caching: Whether results of earlier runs may be used at all.
        launcher: The command that fetches inputs and stores outputs around a step whose files are not on this machine;
            the step's own command line follows ``--``. Empty: there is none.
        launcher_env: Variables of that command, as a container's ``env``: how stores are reached (``roots.Root.env``).
    """

    namespace: str
    run_id: str
    pipeline: Pipeline
    created_at: datetime
    pipeline_root: str
    display_name: str = ""
    scheduled_at: datetime | None = None
    service_account: str = ""
    caching: bool = True
    launcher: Sequence[str] = ()
    launcher_env: Sequence[Object] = ()

    @property
    def resource_name(self) -> str:
        """What the run is called where upstream names its workflow; a DNS label of at most 46 characters."""
        return run_name(self.pipeline.name, self.run_id)

    @property
    def root(self) -> str:
        """URI of the run's directory; no slash at its end."""
        return run_root(self.pipeline_root, self.pipeline.name, self.run_id)

    @property
    def workspace_claim(self) -> str:
        """Name of the claim that is the run's workspace; empty if the pipeline has none."""
        return "" if self.pipeline.config.workspace is None else f"{self.resource_name}-kfp-workspace"

    @property
    def job(self) -> Mapping[str, str]:
        """What placeholders of the job mean; for ``engine.Options.job`` too. Those of one task are not in it."""
        return {
            "pipeline_job_name": self.display_name or self.pipeline.name,
            "pipeline_job_resource_name": self.resource_name,
            "pipeline_job_uuid": self.run_id,
            "pipeline_root": self.pipeline_root,
            "pipeline_job_create_time_utc": _moment(self.created_at),
            "pipeline_job_schedule_time_utc": _moment(self.scheduled_at or self.created_at),
            "workspace_path": WORKSPACE_PATH,
        }

    def root_of(self, path: str, execution: str | int) -> str:
        """Give the URI of the directory of one execution of a task; no slash at its end."""
        return execution_root(self.root, path, execution)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
