"""The data directory: one owner, private files, and errors that say what to do."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from beamhall.app.datadir import (
    DataDirectoryInUse,
    Running,
    announce,
    claimed,
    ensure_token,
    is_claimed,
    running_service,
)

HOLDER = """
import sys, pathlib
from beamhall.app.datadir import claimed
with claimed(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_token_is_made_once_and_is_private(tmp_path: Path) -> None:
    token = ensure_token(tmp_path)
    assert len(token) >= 32
    assert ensure_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_second_service_is_refused_and_told_where_the_first_is(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        announce(tmp_path, Running(holder.pid, "http://127.0.0.1:1", "127.0.0.1", 1))
        with (
            pytest.raises(DataDirectoryInUse, match=rf"process {holder.pid}, http://127.0.0.1:1.*--data"),
            claimed(tmp_path),
        ):
            pass
        holder.kill()
    with claimed(tmp_path):
        assert is_claimed(tmp_path)
    assert not is_claimed(tmp_path)


def test_only_a_live_service_is_found(tmp_path: Path) -> None:
    running = Running(1, "http://127.0.0.1:1", "127.0.0.1", 1)
    assert running_service(tmp_path) is None
    announce(tmp_path, running)
    assert running_service(tmp_path) is None
    with claimed(tmp_path):
        assert running_service(tmp_path) == running
