"""What Kubeflow Trainer has installed beside its definitions: its runtimes, and the word of its version."""

import contextlib

from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists
from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, CONFIG_MAP, NAMESPACE, Kind
from beamhall.kernel.objects import Object, name_of
from beamhall.training.trainjobs.defaults import TRAINER_VERSION, default_runtimes

_NAMESPACE = "kubeflow-system"
_PUBLIC = "kubeflow-trainer-public"


async def install_trainer(client: Client) -> None:
    """Make the runtimes that are missing, and what tells clients of the version."""
    page = await client.list(CLUSTER_TRAINING_RUNTIME)
    known = {name_of(obj) for obj in page.items}
    for runtime in default_runtimes():
        if name_of(runtime) not in known:
            await _make(client, CLUSTER_TRAINING_RUNTIME, runtime)
    await _make(client, NAMESPACE, {"metadata": {"name": _NAMESPACE}})
    data = {"kubeflow_trainer_version": TRAINER_VERSION}
    await _make(client, CONFIG_MAP, {"metadata": {"name": _PUBLIC, "namespace": _NAMESPACE}, "data": data})


async def _make(client: Client, kind: Kind, obj: Object) -> None:
    with contextlib.suppress(AlreadyExists):
        await client.create(kind, obj)
