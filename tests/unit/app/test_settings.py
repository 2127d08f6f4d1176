"""Settings: where they come from, in which order, and what is said of wrong ones."""

from pathlib import Path

import pytest

from beamhall.app.settings import SettingsError, load_settings


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("port: 1\nhost: 127.0.0.2\ngpus: '3'\n")
    settings = load_settings(
        {"data": tmp_path, "port": 3, "gpus": None}, {"BEAMHALL_PORT": "2", "BEAMHALL_HOST": "127.0.0.3"}
    )
    assert (settings.port, settings.host, settings.gpus, settings.log_level) == (3, "127.0.0.3", "3", "info")


def test_variables_are_read_by_type(tmp_path: Path) -> None:
    environ = {"BEAMHALL_DATA": str(tmp_path), "BEAMHALL_WARM_START": "false", "BEAMHALL_HOST_NAMES": "a.b,c.d"}
    settings = load_settings({}, environ)
    assert (settings.data, settings.warm_start, settings.host_names) == (tmp_path, False, ("a.b", "c.d"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"port": "x"}, "Expected `int`.*port"),
        ({"port": 70000}, "port 70000 is outside 0-65535"),
        ({"gpus": "many"}, "gpus is 'many'; write auto"),
        ({"log_level": "loud"}, "log_level is 'loud'; write debug"),
        ({"log_format": "xml"}, "log_format is 'xml'; write auto"),
        ({"gpu_shares": 0}, "gpu_shares is 0; write 1"),
        ({"simulated_nodes": -1}, "simulated_nodes is -1; write 0 to"),
        ({"simulated_node": "cpu=many"}, "simulated_node says 'cpu=many'; write cpu=32"),
        ({"pod_pids_limit": -1}, "pod_pids_limit is -1; write 0"),
        ({"container_log_max_files": 0}, "container_log_max_files is 0; write 1 or more"),
        ({"container_log_max_mib": 0}, "container_log_max_mib is 0; write 1 or more"),
        ({"time_zone": "Mars/Base"}, "time_zone is 'Mars/Base'; write a name such as UTC"),
        ({"time_zone": "../etc"}, r"time_zone is '\.\./etc'"),
        ({"prot": 1}, "unknown field `prot`"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, options: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        load_settings({"data": tmp_path, **options}, {})


@pytest.mark.parametrize(("text", "expected"), [("- a\n", "must hold settings"), ("port: [", "cannot read")])
def test_a_broken_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(SettingsError, match=expected):
        load_settings({"data": tmp_path}, {})
