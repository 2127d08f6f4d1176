"""The ASGI application of the API, at ``/apis/v2beta1`` and, for Kubeflow's dashboard, below ``/pipeline``."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from beamhall.kernel.errors import ApiError, UserError
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.artifact_files import ArtifactFiles
from beamhall.pipelines.api.artifacts import Artifacts
from beamhall.pipelines.api.authorization import Authorization
from beamhall.pipelines.api.errors import no_such_method, no_such_path, refuse
from beamhall.pipelines.api.events import Events
from beamhall.pipelines.api.experiments import Experiments
from beamhall.pipelines.api.logs import Logs
from beamhall.pipelines.api.messages import reply
from beamhall.pipelines.api.pipelines import Pipelines
from beamhall.pipelines.api.recurring_runs import RecurringRuns
from beamhall.pipelines.api.runs import Runs
from beamhall.pipelines.api.tasks import Tasks
from beamhall.pipelines.api.uploads import Uploads
from beamhall.pipelines.api.versions import PipelineVersions
from beamhall.pipelines.specifications import Specifications

PREFIXES = ("/apis/v2beta1", "/pipeline/apis/v2beta1")
OLDER_PREFIXES = ("/apis/v1alpha1", "/pipeline/apis/v1alpha1")


def kfp_application(access: Access, specifications: Specifications) -> ASGIApp:
    """Make the application; who calls is authenticated before it.

    Args:
        access: What all handlers are given.
        specifications: Reads and checks pipelines, and keeps those that it has checked.
    """
    logs = Logs(access)
    parts = (
        Experiments(access),
        Uploads(access, specifications),
        Pipelines(access, specifications),
        PipelineVersions(access, specifications),
        Events(access),
        logs,
        ArtifactFiles(access),
        Runs(access, specifications),
        RecurringRuns(access, specifications),
        Tasks(access),
        Artifacts(access),
        Authorization(access),
    )
    routes = [Route("/healthz", _healthz), *(route for part in parts for route in part.routes())]
    mounts = [Mount(prefix, routes=routes) for prefix in PREFIXES]
    mounts += [Mount(prefix, routes=logs.older_routes()) for prefix in OLDER_PREFIXES]
    return Starlette(
        routes=mounts,
        exception_handlers={ApiError: refuse, UserError: refuse, 404: no_such_path, 405: no_such_method},
    )


async def _healthz(_: Request) -> Response:
    return reply({"pipeline_store": "database"})
