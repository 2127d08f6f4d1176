"""What a training job has beside its Pods: Services and whatever else its framework names, made and kept up to date.

Called by ``planner`` before it makes Pods: a Pod resolves its peers' names, and mounts its files, as soon as it starts.
How the objects look stands in ``children`` and in the framework.
"""

from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import is_being_deleted, name_of
from beamhall.training.children import build_service
from beamhall.training.draft import Draft
from beamhall.training.job import Observed
from beamhall.training.object_draft import TAKEN_RETRY_S
from beamhall.training.survey import Survey


def make_services(draft: Draft, survey: Survey) -> None:
    """Make the missing Services of replicas."""
    if not draft.job.framework.has_services:
        return
    for slot in survey.slots:
        if slot.name in survey.services:
            continue
        if draft.view.get(SERVICE, slot.name, draft.job.namespace) is None:
            draft.create(SERVICE, build_service(draft.job, slot.type, slot.index))
        else:
            draft.again_after(TAKEN_RETRY_S)


def make_children(draft: Draft, observed: Observed) -> None:
    """Make what else the framework wants, and give what is there the content that it should have."""
    for kind, wanted in draft.job.framework.children(draft.job, observed):
        draft.keep(kind, wanted)


def remove_extra(draft: Draft, survey: Survey, observed: Observed) -> None:
    """Delete Pods and Services beyond the job's replicas, such as after it was scaled down."""
    for pod in survey.extra_pods:
        if not is_being_deleted(pod):
            draft.delete(POD, pod)
    job = draft.job
    wanted = {slot.name for slot in survey.slots} if job.framework.has_services else set()
    wanted |= {name_of(obj) for kind, obj in job.framework.children(job, observed) if kind == SERVICE}
    for name, service in survey.services.items():
        if name not in wanted:
            draft.delete(SERVICE, service)
