"""The YAML files: what they may say, and how they complain."""

from pathlib import Path

import pytest

from beamhall.catalog.document import parse_document, read_document, with_image
from beamhall.catalog.entries import Image
from beamhall.catalog.errors import CatalogInvalid

FILE = Path("/lab/images.yaml")

GOOD = """
images:
  - image: gcr.io/lab/*
    environment: lab
    path: [code, /opt/more]
    env: {A: "1"}
    workdir: /work
    entrypoint: [python]
    command: [-m, app]
environments:
  lab:
    python: "3.12"
    requirements: ["numpy==2.4.6  # a comment", "", "# nothing"]
    warm: numpy
"""


def test_a_file_is_read_whole() -> None:
    document = parse_document(GOOD, FILE)
    (image,) = document.images
    assert image == Image(
        pattern="gcr.io/lab/*",
        environment="lab",
        env={"A": "1"},
        path=("/lab/code", "/opt/more"),
        workdir="/work",
        entrypoint=("python",),
        command=("-m", "app"),
        source=str(FILE),
    )
    (environment,) = document.environments
    assert (environment.name, environment.python, environment.warm) == ("lab", "3.12", ("numpy",))
    assert environment.pins == ("numpy==2.4.6",)
    assert document.lines == {"gcr.io/lab/*": 3}


@pytest.mark.parametrize("text", ["", "# nothing\n", "images:\nenvironments:\n"])
def test_an_empty_file_says_nothing(text: str) -> None:
    document = parse_document(text, FILE)
    assert (document.images, document.environments) == ((), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images: {}", "line 1: images: must be a list"),
        ("- a", "line 1: the file: must be a mapping"),
        ("imagse: []", "line 1: imagse: is no field here; use images, environments"),
        ("images:\n  - image: a\n", "line 2: images[0]: needs the field 'environment'"),
        ("images:\n  - {image: a, environment: b}\n  - {image: 3, environment: b}", "images[1].image: must be text"),
        ("images:\n  - image: a\n    environment: b\n    paths: x", "line 4: images[0].paths: is no field here"),
        ("images:\n  - {image: a b, environment: b}", "line 2: images[0].image: 'a b' is no image name"),
        ("images:\n  - {image: a, environment: b, env: {X: 1}}", "line 2: images[0].env.X: must be a variable's name"),
        ("images:\n  - {image: a, environment: b, path: [1]}", "line 2: images[0].path[0]: must be text"),
        ("images:\n  - image: *a\n", "line 2 is no YAML"),
        ("images: [\n", "is no YAML"),
        ("environments:\n  Lab: {}", "line 2: environments.Lab: must be a name of lower-case letters"),
        ("environments:\n  lab: {python: 3.1}", "line 2: environments.lab.python: must be text"),
        ("environments:\n  lab: {python: three}", "line 2: environments.lab.python: 'three' is no version"),
        ("environments:\n  lab:\n    requirements: no.txt", "line 3: environments.lab.requirements: the req"),
        ("environments:\n  lab:\n    requirements: [-r no.txt]", "points to another place"),
        ("environments:\n  lab: {}\n  lab: {}", "line 3: environments.lab: stands here twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    with pytest.raises(CatalogInvalid) as caught:
        parse_document(text, FILE)
    assert str(caught.value).startswith(str(FILE))
    assert message in str(caught.value)


def test_an_absent_file_is_empty_and_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert read_document(tmp_path / "absent.yaml").images == ()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogInvalid, match="cannot be read"):
        read_document(tmp_path / "binary.yaml")


def test_an_entry_replaces_that_of_the_same_pattern_and_keeps_the_rest() -> None:
    text = with_image(GOOD, Image(pattern="gcr.io/lab/*", environment="lab", workdir="/new"))
    text = with_image(text, Image(pattern="*odd*", environment="lab"))
    document = parse_document(text, FILE)
    assert [(i.pattern, i.workdir) for i in document.images[:1]] == [("gcr.io/lab/*", "/new")]
    assert document.environments == parse_document(GOOD, FILE).environments
    assert document.images[1].pattern == "*odd*"
    assert not document.has_comments


@pytest.mark.parametrize(
    ("text", "expected"), [("images: []  # mine", True), ("# mine\n", True), ("images: []", False)]
)
def test_comments_are_noticed(text: str, expected: bool) -> None:
    assert parse_document(text, FILE).has_comments is expected
