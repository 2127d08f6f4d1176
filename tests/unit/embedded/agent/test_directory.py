"""What is kept of a Pod on disk."""

import pytest

from beamhall.embedded.agent.directory import PodDirectory, Snapshot, pod_directories, safe_name
from beamhall.embedded.agent.facts import Ending
from tests.unit.embedded.agent.builders import at

POD = {"metadata": {"name": "p", "uid": "u-1"}}


def test_what_is_kept_comes_back(tmp_path):
    own = PodDirectory(tmp_path, "u-1")
    assert own.snapshot() is None
    assert own.ending() is None
    assert own.devices() == {}
    own.create(Snapshot(POD, at(1.5), "127.64.0.1"))
    own.keep_ending(Ending(at(2), "R", "m"))
    own.keep_devices({"c": ["0"]})
    own.keep_history("c", 3)
    again = PodDirectory(tmp_path, "u-1")
    assert again.snapshot() == Snapshot(POD, at(1.5), "127.64.0.1")
    assert again.ending() == Ending(at(2), "R", "m")
    assert again.devices() == {"c": ["0"]}
    assert (again.quick_ends("c"), again.quick_ends("d")) == (3, 0)
    assert own.path.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_cut_short_counts_as_none(tmp_path):
    own = PodDirectory(tmp_path, "u-1")
    own.create(Snapshot(POD, at(0), ""))
    (own.path / "pod.json").write_text('{"pod": {')
    assert own.snapshot() is None


def test_runs_are_found_in_order_and_dropped(tmp_path):
    own = PodDirectory(tmp_path, "u-1")
    own.create(Snapshot(POD, at(0), ""))
    for number in (0, 2, 10):
        own.attempt("c", number).mkdir()
    assert own.attempts("c") == [0, 2, 10]
    assert own.attempts("none") == []
    own.drop_attempt("c", 2)
    assert own.attempts("c") == [0, 10]


def test_removal_takes_what_cannot_be_written_too(tmp_path):
    own = PodDirectory(tmp_path, "u-1")
    own.create(Snapshot(POD, at(0), ""))
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    own.volumes.mkdir()
    (own.volumes / "link").symlink_to(kept)
    (own.volumes / "d").mkdir()
    (own.volumes / "d" / "f").touch()
    (own.volumes / "d").chmod(0o500)
    assert [d.uid for d in pod_directories(tmp_path) if d.uid == "u-1"] == ["u-1"]
    own.remove()
    assert not own.path.exists()
    assert (kept / "file").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a..b", "-a", ".hidden", "a\n", "x" * 254])
def test_names_that_could_escape_are_refused(name):
    with pytest.raises(ValueError, match="cannot be used as a name"):
        safe_name(name)
