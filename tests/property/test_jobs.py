"""Whatever happens to a Job's Pods: each success and each failure counts once, and a finished Job never changes."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.embedded.workloads.jobs import plan_job
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import name_of
from tests.unit.embedded.workloads.test_jobs import Run

_EVENTS = st.one_of(
    st.tuples(st.just("end"), st.integers(0, 2), st.sampled_from([0, 0, 1])),
    st.tuples(st.just("vanish"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([1, 1000])),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(_EVENTS, max_size=20), st.sampled_from(["Indexed", "NonIndexed"]), st.sampled_from([0, 2]))
def test_any_order_of_events(events: list[tuple[Any, ...]], mode: str, limit: int) -> None:
    run = Run(completions=4, parallelism=2, completionMode=mode, backoffLimit=limit)
    n = {0: 0, 1: 0}
    final: dict[str, Any] | None = None
    for what, *rest in events:
        if what == "wait":
            run.wait(rest[0])
        elif what == "end" and rest[0] < len(run.active):
            n[rest[1]] += 1
            run.end(run.active[rest[0]], rest[1])
        elif what == "vanish" and rest[0] < len(pods := run.world.list(POD)):
            run.lose(name_of(pods[rest[0]]))
        assert run.status.get("succeeded", 0) == n[0]
        assert run.status.get("failed", 0) == n[1]
        assert len(run.active) <= min(2, 4 - n[0])
        if run.conditions:
            assert run.active == []
            final = final or run.job["status"]["conditions"]
            assert run.job["status"]["conditions"] == final
    assert plan_job(run.job, run.world).actions == []
