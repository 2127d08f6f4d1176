"""A place where uv works without any network: a directory of tiny wheels, and a cache of its own."""

import base64
import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


def make_wheel(
    directory: Path, name: str, version: str = "1.0", requires: str = "", modules: Mapping[str, str] | None = None
) -> Path:
    """Make a wheel with one module that knows its version, or others. Source: PyPA's binary distribution format."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        **(modules or {f"{name}.py": f"version = {version!r}\n"}),
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text)}\n"
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give the maker of wheels that uv will find, and nothing else will it find."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name in [n for n in os.environ if n.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # uv learns of these two through the catalog
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("BEAMHALL_IMAGES", raising=False)
    return lambda *args, **kwargs: make_wheel(directory, *args, **kwargs)
