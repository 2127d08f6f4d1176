"""pip's settings in uv's words."""

import sys
from pathlib import Path

import pytest

from beamhall.catalog.pip_settings import has_local_wheel, pip_files, uv_arguments, uv_variables


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"PIP_FIND_LINKS": "/a /b"}, {"UV_FIND_LINKS": "/a,/b"}),
        ({"PIP_INDEX_URL": "https://lab/simple"}, {"UV_DEFAULT_INDEX": "https://lab/simple"}),
        (
            {"PIP_EXTRA_INDEX_URL": "https://a https://b"},
            {"UV_INDEX": "https://a https://b", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ({"PIP_EXTRA_INDEX_URL": "https://a", "UV_INDEX": "https://b"}, {}),
        ({"PIP_INDEX_URL": "https://a", "UV_INDEX_URL": "https://b"}, {}),
        ({"PIP_CERT": "/c.pem"}, {"SSL_CERT_FILE": "/c.pem"}),
        ({"PIP_CERT": "/c.pem", "SSL_CERT_FILE": "/d.pem"}, {}),
        ({"PIP_TIMEOUT": "60"}, {"UV_HTTP_TIMEOUT": "60"}),
    ],
)
def test_variables_are_translated_unless_uv_has_its_own(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert uv_variables(environ, files=()) == expected


def test_no_index_is_an_argument(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nno-index = true\n")
    assert uv_arguments({}, ()) == []
    assert uv_arguments({"PIP_NO_INDEX": "1"}, ()) == ["--no-index"]
    assert uv_arguments({}, [file]) == ["--no-index"]
    assert uv_arguments({"PIP_NO_INDEX": "false"}, [file]) == []


def test_files_are_read_and_the_stronger_wins(tmp_path: Path) -> None:
    weak, strong, broken = tmp_path / "weak.conf", tmp_path / "strong.conf", tmp_path / "broken.conf"
    weak.write_text("[global]\nfind-links = /weak\ncert = /c.pem\n")
    strong.write_text("[install]\nfind-links =\n    /one\n    /two\n[freeze]\nindex-url = https://no\n")
    broken.write_text("find-links = /lost\n")
    files = [weak, strong, broken, tmp_path / "absent.conf"]
    assert uv_variables({}, files) == {"UV_FIND_LINKS": "/one,/two", "SSL_CERT_FILE": "/c.pem"}
    assert uv_variables({"PIP_FIND_LINKS": "/own"}, files)["UV_FIND_LINKS"] == "/own"


def test_pip_reads_a_users_file_after_the_machines_and_the_named_one_last() -> None:
    files = [str(f) for f in pip_files({"HOME": "/home/ada", "PIP_CONFIG_FILE": "/named"})]
    assert files.index("/etc/pip.conf") < files.index("/home/ada/.config/pip/pip.conf") < files.index("/named")
    assert files[-1] == "/named"
    assert pip_files({"PIP_CONFIG_FILE": "/dev/null"}) == ()


def test_a_wheel_at_hand_is_found_by_version_and_interpreter(tmp_path: Path) -> None:
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (tmp_path / f"torch-2.13.0+cpu-{own}-{own}-manylinux_2_28_x86_64.whl").touch()
    environ = {"UV_FIND_LINKS": f"/absent,{tmp_path}"}
    assert has_local_wheel("torch==2.13.0", environ)
    assert not has_local_wheel("torch==2.13.1", environ)
    assert not has_local_wheel("torch==2.13.0", environ, python="3.9")
    assert not has_local_wheel("torch==2.13.0", {})
