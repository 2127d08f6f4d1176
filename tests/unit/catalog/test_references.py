"""Which pattern means which image."""

import pytest

from beamhall.catalog.references import Reference, matches, parse_reference, specificity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", Reference("python")),
        ("docker.io/library/python:3.11-slim", Reference("python", "3.11-slim")),
        ("index.docker.io/jupyter/base-notebook", Reference("jupyter/base-notebook")),
        ("localhost:5000/a/b", Reference("localhost:5000/a/b")),
        ("localhost:5000/a/b:v1", Reference("localhost:5000/a/b", "v1")),
        ("gcr.io/p/i:v1@sha256:ab12", Reference("gcr.io/p/i", "v1", "sha256:ab12")),
        ("docker.io/python", Reference("python")),
    ],
)
def test_a_reference_is_read_in_its_parts(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "a b", ":v1", "@sha256:ab"])
def test_what_is_no_image_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no image name"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("pattern", "reference", "expected"),
    [
        ("python", "docker.io/library/python:3.12", True),
        ("docker.io/library/python", "python", True),
        ("python", "pythonic", False),
        ("python", "gcr.io/p/python", False),
        ("*/python", "gcr.io/p/python@sha256:1", True),
        ("python:3.*", "python:3.12", True),
        ("python:3.*", "python:2.7", False),
        ("python:latest", "python", True),
        ("python:latest", "python@sha256:1", False),
        ("a/b@sha256:1", "a/b:v1@sha256:1", True),
        ("a/b@sha256:1", "a/b@sha256:2", False),
        ("a/b@sha256:1", "a/b:v1", False),
        ("gcr.io/*tensorflow*", "gcr.io/deep/learning/tensorflow-cpu:x", True),
        ("localhost:5000/*", "localhost:5000/team/app:v2", True),
        ("A/b", "a/b", False),
    ],
)
def test_a_pattern_matches(pattern: str, reference: str, expected: bool) -> None:
    assert matches(pattern, reference) is expected


def test_the_more_specific_pattern_ranks_higher() -> None:
    ranked = ["*", "*pytorch*", "pytorch/*", "pytorch/pytorch*", "pytorch/pytorch", "pytorch/pytorch:2.1"]
    assert sorted(set(ranked), key=specificity) == ranked
