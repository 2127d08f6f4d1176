"""Names as parts of paths, and names of Pods: whatever they are, they are valid and differ where they should."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.kernel.names import label_problem
from beamhall.pipelines.spec.reading import read_pipeline
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.layout import MAX_TASK_BYTES, artifact_part, directories_of, part_of
from beamhall.pipelines.steps.naming import pod_name, run_name
from tests.unit.pipelines.specs import spec

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model", "model"),
        ("my-model_1.2 (b)", "my-model_1.2 %28b%29"),
        ("Modèle", "Modèle"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("../../etc", "..%2F..%2Fetc"),
        ("a*?[b]#%", "a%2A%3F%5Bb%5D%23%25"),
        (" a ", "%20a%20"),
        ("a.", "a%2E"),
        ("a\nb\0", "a%0Ab%00"),
    ],
)
def test_a_name_as_a_part_of_a_path(name: str, part: str) -> None:
    assert part_of(name) == part


@given(NAMES, NAMES)
def test_no_two_names_are_the_same_part(one: str, other: str) -> None:
    for made in (part_of, artifact_part):
        found = made(one)
        assert 0 < len(found.encode()) <= 203
        assert "/" not in found
        assert found not in (".", "..")
        assert found.isprintable()
        assert (made(other) == found) == (one == other)


def test_a_long_name_is_cut_and_stays_another() -> None:
    one, other = part_of("é" * 300), part_of("é" * 301)
    assert one != other
    assert len(one.encode()) <= 200
    assert one.startswith("ééé")


@pytest.mark.parametrize("name", ["executor_output.json", "parameters", "logs"])
def test_an_artifact_takes_the_place_of_no_other_file(name: str) -> None:
    assert artifact_part(name) not in ("executor_output.json", "parameters", "logs")
    assert artifact_part(f"{name}2") == f"{name}2"


@pytest.mark.parametrize(
    ("path", "directories"),
    [
        ("/train", "train"),
        ("/for-loop-1[3]/train", "for-loop-1/3/train"),
        ("/a/b[0]/c[12]", "a/b/0/c/12"),
        ("", ""),
    ],
)
def test_the_directories_of_a_task(path: str, directories: str) -> None:
    assert directories_of(path) == directories


def test_deep_tasks_have_paths_that_fit() -> None:
    paths = [f"{'/' + 'x' * 250}[{number}]" * 20 + f"/{last}" for number in (1, 2) for last in ("a", "b")]
    found = [directories_of(path) for path in paths]
    assert len(set(found)) == 4
    assert all(len(one) <= MAX_TASK_BYTES + 20 and max(map(len, one.split("/"))) <= 200 for one in found)
    assert found[0].endswith("/a")


@given(NAMES, st.text(max_size=50), NAMES, st.integers(0, 10**6))
def test_the_name_of_a_pod_is_a_label(pipeline: str, run_id: str, task: str, attempt: int) -> None:
    path = f"/loop[3]/{task}"
    name = pod_name(pipeline, run_id, path, attempt)
    assert label_problem(name) == ""
    assert name == pod_name(pipeline, run_id, path, attempt)
    assert name != pod_name(pipeline, run_id, path, attempt + 1)
    assert name != pod_name(pipeline, run_id, f"/loop[4]/{task}", attempt)
    assert label_problem(f"{run_name(pipeline, run_id)}-kfp-workspace") == ""


def test_a_pod_s_name_can_be_read() -> None:
    name = pod_name("train-digits", "run", "/for-loop-1[3]/evaluate-model", 0)
    assert name.startswith("train-digits-evaluate-model-")


def facts_of(**more: object) -> RunFacts:
    document = spec()
    document["pipelineInfo"]["name"] = "train-digits"
    moment = datetime.fromisoformat("2026-11-25T13:30:45.5+01:00")
    given = {"pipeline_root": "s3://bucket/root/", "created_at": moment, **more}
    return RunFacts(namespace="lab", run_id="r-1", pipeline=read_pipeline(document), **given)  # type: ignore[arg-type]


def test_what_is_known_of_a_run() -> None:
    facts = facts_of(display_name="Mine")
    assert facts.root_of("/loop[3]/train", 2) == "s3://bucket/root/train-digits/r-1/loop/3/train/2"
    assert facts.job == {
        "pipeline_job_name": "Mine",
        "pipeline_job_resource_name": facts.resource_name,
        "pipeline_job_uuid": "r-1",
        "pipeline_root": "s3://bucket/root/",
        "pipeline_job_create_time_utc": "2026-11-25T12:30:45Z",
        "pipeline_job_schedule_time_utc": "2026-11-25T12:30:45Z",
        "workspace_path": "/kfp-workspace",
    }
    assert facts.resource_name.startswith("train-digits-")
    assert facts.workspace_claim == ""
    scheduled = facts_of(scheduled_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert scheduled.job["pipeline_job_schedule_time_utc"] == "2026-01-01T00:00:00Z"
    assert scheduled.job["pipeline_job_name"] == "train-digits"
