"""uv's words, said for people. The outputs are uv's own."""

# ruff: noqa: E501

from pathlib import Path

import pytest

from beamhall.catalog.installer import explain, progress_of, uv_environment


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Resolved 44 packages in 601ms", "resolved 44 packages"),
        ("Resolved 1 package in 6ms", "resolved 1 package"),
        ("Downloading numpy (16.1MiB)", "downloading numpy (16.1MiB)"),
        (" Downloaded numpy", "downloaded numpy"),
        ("   Building mysqlclient==2.2.0", "building mysqlclient==2.2.0"),
        ("Prepared 27 packages in 8.7s", "downloaded 27 packages, installing"),
        ("Installed 44 packages in 412ms", "installed 44 packages, compiling"),
        ("Using Python 3.11.7 environment at: v1", ""),
        (" + numpy==2.4.6", ""),
    ],
)
def test_progress_says_what_is_worth_saying(line: str, expected: str) -> None:
    assert progress_of(line) == expected


NO_SUCH = """Using Python 3.11.7 environment at: v1
error: No solution found when resolving dependencies
  cause: Because nosuchpkg-zzz was not found in the package registry and you require nosuchpkg-zzz==1.0, we can conclude that your requirements are unsatisfiable."""
NO_VERSION = """error: No solution found when resolving dependencies
  cause: Because there is no version of six==99.0 and you require six==99.0, we can conclude that your requirements are unsatisfiable."""
DRAWN = """  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of six==99.0 and you require six==99.0,
      we can conclude that your requirements are unsatisfiable."""
CLASH = """error: No solution found when resolving dependencies
  cause: Because you require six==1.17.0 and six==1.16.0, we can conclude that your requirements are unsatisfiable."""
HASH = """Resolved 1 package in 136ms
error: Failed to download `six==1.17.0`
  cause: Hash mismatch for `six==1.17.0`

         Expected:
           sha256:0000000000000000000000000000000000000000000000000000000000000001"""
BUILD = """Resolved 1 package in 337ms
   Building mysqlclient==2.2.0
error: Failed to build `mysqlclient==2.2.0`
  cause: The build backend returned an error
  cause: Call to `setuptools.build_meta.get_requires_for_build_wheel` failed (exit status: 1)

         [stderr]
         Exception: Can not find valid pkg-config name.

hint: Build failures usually indicate a problem with the package or the build environment"""
PARSE = """error: Couldn't parse requirement in `r.txt` at position 0
  cause: no such comparison operator "=", must be one of ~= == != <= >= < > ===
         six = 1
             ^^^"""
NETWORK = """error: Failed to fetch: http://127.0.0.1:9/simple/typing-extensions/
  cause: error sending request for url (http://127.0.0.1:9/simple/typing-extensions/)
  cause: client error (Connect)
  cause: Connection refused (os error 111)"""
ABI = """error: No solution found when resolving dependencies
  cause: Because tensorflow==1.15.0 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require tensorflow==1.15, we can conclude that your requirements are unsatisfiable."""


@pytest.mark.parametrize(
    ("output", "requirements", "requirement", "why"),
    [
        (NO_SUCH, ["six", "nosuchpkg_zzz==1.0"], "nosuchpkg_zzz==1.0", "was not found in the package registry"),
        (NO_VERSION, ["six==99.0 \\", "    --hash=sha256:1"], "six==99.0", "there is no version of six==99.0"),
        (DRAWN, ["six==99.0"], "six==99.0", "there is no version of six==99.0"),
        (CLASH, ["six==1.17.0", "six==1.16.0"], "six==1.16.0", "you require six==1.17.0 and six==1.16.0"),
        (HASH, ["six==1.17.0 --hash=sha256:1"], "six==1.17.0", "Hash mismatch"),
        (BUILD, ["mysqlclient==2.2.0"], "mysqlclient==2.2.0", "The build backend returned an error"),
        (PARSE, ["six = 1"], "six = 1", "no such comparison operator"),
        (NETWORK, ["Typing_Extensions>=4"], "Typing_Extensions>=4", "Connection refused"),
        (ABI, ["tensorflow==1.15"], "tensorflow==1.15", "has no wheels with a matching Python ABI tag"),
        ("error: Failed to build `inner==1`\n  cause: broken", ["outer"], "inner==1", "broken"),
        ("error: No space left on device", ["outer"], "", "No space left on device"),
        ("", ["outer"], "", ""),
    ],
)
def test_an_error_names_the_requirement_and_the_reason(
    output: str, requirements: list[str], requirement: str, why: str
) -> None:
    found, reason = explain(output.splitlines(), requirements)
    assert found == requirement
    assert why in reason


def test_a_long_reason_is_cut() -> None:
    _, reason = explain(["error: " + "x" * 5000], [])
    assert len(reason) <= 601


def test_uv_gets_no_variable_of_our_own_interpreter_and_pyenvs_interpreters_for_its_shims(tmp_path: Path) -> None:
    root = tmp_path / "pyenv"
    for version in ("3.12.1", "3.13.0"):
        (root / "versions" / version / "bin").mkdir(parents=True)
    environ = {
        "HOME": str(tmp_path),
        "PYENV_ROOT": str(root),
        "PATH": f"{root}/shims:/usr/bin",
        "VIRTUAL_ENV": "/own",
        "PYTHONPATH": "/own",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_FIND_LINKS": "/wheels",
    }
    env = uv_environment(environ, tmp_path, "3.12")
    assert env["PATH"] == f"/usr/bin:{root}/versions/3.12.1/bin"
    assert uv_environment(environ, tmp_path)["PATH"] == "/usr/bin"
    assert (env["UV_FIND_LINKS"], env["UV_PYTHON_DOWNLOADS"]) == ("/wheels", "never")
    assert env.keys() & {"VIRTUAL_ENV", "PYTHONPATH", "UV_LINK_MODE"} == set()
    assert uv_environment({**environ, "UV_CACHE_DIR": "/proc"}, tmp_path)["UV_LINK_MODE"] == "copy"
    assert uv_environment({**environ, "UV_LINK_MODE": "symlink"}, tmp_path)["UV_LINK_MODE"] == "symlink"
