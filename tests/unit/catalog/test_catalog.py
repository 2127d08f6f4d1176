"""Finding what stands for an image; adding to the user's file; reading it anew."""

import os
from pathlib import Path

import pytest

from beamhall.catalog.catalog import Catalog
from beamhall.catalog.entries import Environment
from beamhall.catalog.errors import CatalogInvalid, UnknownImage
from beamhall.kernel.errors import Invalid


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("BEAMHALL_IMAGES", raising=False)
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.mark.parametrize(
    ("reference", "environment"),
    [
        ("python:3.11-slim", "python"),
        ("docker.io/library/python", "python"),
        ("registry.lab:5000/mirror/python:3.12", "python"),
        ("tensorflow/tensorflow:2.21.0-gpu", "tensorflow"),
        ("gcr.io/deeplearning-platform-release/tensorflow-cpu", "tensorflow"),
        ("pytorch/pytorch:2.13.0-cuda13", "pytorch"),
        ("ghcr.io/kubeflow/training-v1/pytorch-dist-mnist:latest", "pytorch"),
        ("nvcr.io/nvidia/jax:24.10-py3", "jax"),
        ("kubeflow/xgboost-dist-iris:1.1", "xgboost"),
        ("registry.baidubce.com/paddlepaddle/paddle:2.4.0rc0-cpu", "paddle"),
        ("lab/sklearn-train", "scikit-learn"),
        ("jupyter/scipy-notebook:lab-4.0", "jupyterlab"),
        ("jupyter/tensorflow-notebook", "jupyterlab"),
        ("ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-scipy", "jupyterlab"),
        ("docker.io/kubeflownotebookswg/jupyter-pytorch-full:v1.9", "jupyterlab"),
        ("scikit-learn", "scikit-learn"),
    ],
)
def test_public_images_are_known_without_configuration(data: Path, reference: str, environment: str) -> None:
    assert Catalog.load(data).find(reference).environment == environment


def test_every_shipped_environment_has_pins_and_all_but_torch_have_hashes(data: Path) -> None:
    environments = {e.name: e for e in Catalog.load(data).environments()}
    assert set(environments) == {
        "huggingface",
        "jax",
        "jupyterlab",
        "kfp",
        "mpi",
        "paddle",
        "python",
        "pytorch",
        "scikit-learn",
        "tensorflow",
        "xgboost",
    }
    for name, environment in environments.items():
        text = "\n".join(environment.requirements)
        assert "://" not in text
        if name not in ("python", "pytorch"):
            assert text.count("==") > 2
            assert "--hash=sha256:" in text
    assert "torch==2.13.0" in environments["pytorch"].pins
    assert environments["tensorflow"].warm == environments["jax"].warm == ()


def test_an_unknown_image_says_how_to_add_it(data: Path) -> None:
    with pytest.raises(UnknownImage) as caught:
        Catalog.load(data).find("gcr.io/your-project/tensorfow:v1")
    message = str(caught.value)
    assert caught.value.code == 404
    assert "'gcr.io/your-project/tensorfow:v1' is not in the catalog; nearest: *tensorflow*" in message
    assert "beamhall images add gcr.io/your-project/tensorfow:v1 --environment tensorflow [--path DIR]" in message
    assert str(data / "images.yaml") in message
    with pytest.raises(Invalid, match="is no image name"):
        Catalog.load(data).find("a b")


def test_a_users_entry_beats_shipped_ones_and_the_specific_beats_the_general(data: Path) -> None:
    (data / "images.yaml").write_text(
        "images:\n  - {image: '*', environment: python}\n  - {image: 'lab/*', environment: jax}\n"
        "  - {image: 'lab/a:v2', environment: mine}\nenvironments:\n  mine: {requirements: [six==1.17.0]}\n"
    )
    catalog = Catalog.load(data)
    found = [catalog.find(r).environment for r in ("tensorflow/tensorflow", "lab/b", "lab/a:v1", "lab/a:v2")]
    assert found == ["python", "jax", "jax", "mine"]
    assert catalog.images()[0].pattern == "*"


def test_named_files_stand_between_the_shipped_and_the_users(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = data / "site.yaml"
    site.write_text("images:\n  - {image: python, environment: jax}\n  - {image: lab, environment: jax}\n")
    monkeypatch.setenv("BEAMHALL_IMAGES", str(site))
    (data / "images.yaml").write_text("images:\n  - {image: lab, environment: xgboost}\n")
    catalog = Catalog.load(data)
    assert (catalog.find("python").environment, catalog.find("lab").environment) == ("jax", "xgboost")


def test_a_wrong_file_at_the_start_is_refused_with_its_place(data: Path) -> None:
    (data / "images.yaml").write_text("images:\n  - {image: lab, environment: tensorflo}\n")
    with pytest.raises(
        CatalogInvalid, match=r"images\.yaml line 2: image 'lab': environment 'tensorflo' does not exist"
    ):
        Catalog.load(data)


def test_a_changed_file_is_read_anew_and_a_wrong_one_leaves_the_old_entries(data: Path) -> None:
    catalog = Catalog.load(data)
    with pytest.raises(UnknownImage):
        catalog.find("lab/app")
    file = data / "images.yaml"
    file.write_text("images:\n  - {image: lab/app, environment: jax}\n")
    assert catalog.find("lab/app").environment == "jax"
    file.write_text("images:\n  - {image: lab/app}\n")
    assert catalog.find("lab/app").environment == "jax"
    assert "needs the field 'environment'" in catalog.problem
    with pytest.raises(UnknownImage, match="needs the field 'environment'"):
        catalog.find("lab/other")
    file.unlink()
    assert catalog.problem == ""
    with pytest.raises(UnknownImage):
        catalog.find("lab/app")


def test_an_image_is_added_changed_and_seen_by_others(data: Path) -> None:
    ours, others = Catalog.load(data), Catalog.load(data)
    code = data / "code"
    code.mkdir()
    added = ours.add("lab/app", environment="tensorflow", path=(str(code),), env={"A": "1"})
    assert (added.has_replaced, added.has_lost_comments, added.file) == (False, False, data / "images.yaml")
    assert others.find("docker.io/lab/app:v1") == added.image
    assert others.find("lab/app").path == (str(code),)
    with added.file.open("a") as file:
        file.write("# mine\n")
    added = ours.add("lab/app", environment="jax")
    assert (added.has_replaced, added.has_lost_comments) == (True, True)
    assert [i.environment for i in others.images() if i.pattern == "lab/app"] == ["jax"]
    assert sorted(p.name for p in data.iterdir()) == ["code", "environments", "images.yaml"]


@pytest.mark.parametrize(
    ("pattern", "environment", "path", "message"),
    [
        ("a b", "python", (), "is no image name"),
        ("a", "tensorflo", (), "did you mean 'tensorflow'"),
        ("a", "python", ("/no/such/place",), "is no directory"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_written(
    data: Path, pattern: str, environment: str, path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        Catalog.load(data).add(pattern, environment=environment, path=path)
    assert not (data / "images.yaml").exists()


def test_an_environment_that_left_the_catalog_is_named(data: Path) -> None:
    file = data / "images.yaml"
    file.write_text("images:\n  - {image: a, environment: mine}\nenvironments:\n  mine: {}\n")
    catalog = Catalog.load(data)
    image = catalog.find("a")
    file.unlink()
    catalog.images()
    with pytest.raises(Invalid, match="environment 'mine' is not in the catalog"):
        catalog.environment_of(image)


def test_the_identity_is_that_of_pins_and_interpreter() -> None:
    one = Environment("lab", requirements=("six==1.17.0",))
    same = Environment("lab", requirements=("# why", "", "six==1.17.0  # pinned"), env={"A": "1"}, warm=("six",))
    assert one.identity == same.identity
    others = [
        Environment("lab", requirements=("six==1.16.0",)),
        Environment("lab", requirements=("six==1.17.0",), python="3.12"),
        Environment("lab", requirements=("six==1.17.0",), torch_backend="cpu"),
        Environment("bal", requirements=("six==1.17.0",)),
    ]
    assert one.identity not in {e.identity for e in others}
    assert os.sep not in one.identity
