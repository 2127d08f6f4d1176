"""The guide's commands work as they are printed: each ``console`` block is run, in order, on a service."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import ServiceProcess, needs_kubectl

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(page for page in (ROOT / "docs/guide").glob("*.md") if "```console" in page.read_text())


def _commands(page: Path) -> str:
    """Give the commands of a page as one script: lines after ``$``, here-documents included."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return "".join(re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in blocks)


@needs_kubectl
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_work_as_printed(service: ServiceProcess, tmp_path: Path, page: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "BEAMHALL_DATA": str(service.data), "HOME": str(tmp_path)}
    work = tmp_path / "work"
    work.mkdir()
    script = "set -eux\n" + _commands(page)
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_there_are_pages_to_try() -> None:
    assert {page.stem for page in PAGES} >= {"tfjob", "images", "service"}


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
