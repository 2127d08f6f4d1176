"""Every pipeline of the corpus is read and checked, and refused or not as its index says. Skipped without it."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from beamhall.kernel.errors import ApiError
from beamhall.pipelines.packages import documents_of
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.types import run_parameter_problems

_ABOVE = [parent / "shared/corpus/kfp" for parent in Path(__file__).resolve().parents[4:]]
CORPUS = next((path for path in _ABOVE if (path / "index.tsv").exists()), _ABOVE[0])

pytestmark = pytest.mark.skipif(not (CORPUS / "index.tsv").exists(), reason="there is no corpus beside the checkout")


def rows() -> Iterator[tuple[str, str]]:
    if (CORPUS / "index.tsv").exists():
        with (CORPUS / "index.tsv").open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                yield row["file"], row["expected_outcome"]


@pytest.mark.parametrize(("file", "outcome"), list(rows()))
def test_a_pipeline_of_the_corpus(file: str, outcome: str) -> None:
    content = (CORPUS / file).read_bytes()
    if outcome.startswith("REJECTED") or "not IR" in outcome:
        with pytest.raises(ApiError) as caught:
            checked_pipeline(documents_of(content, file))
        assert caught.value.code == 400
        return
    pipeline = checked_pipeline(documents_of(content, file))
    required = {name: None for name, one in pipeline.root.input_definitions.parameters.items() if one.is_required}
    problems = run_parameter_problems(pipeline.root.input_definitions, {})
    assert len(problems) == len(required)
    assert all("is not optional" in problem.message for problem in problems)
