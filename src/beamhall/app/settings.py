"""The service's settings: one typed object, from defaults, a file, the environment and the command line."""

import os
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from beamhall.kernel.errors import UserError
from beamhall.kernel.quantities import canonical_quantity


class SettingsError(UserError):
    """A setting has a wrong name or value; the message says which, where, and what would be right."""


def default_data_dir() -> Path:
    """Give where everything is kept unless told otherwise: ``BEAMHALL_DATA``, or below the user's data directory."""
    if configured := os.environ.get("BEAMHALL_DATA"):
        return Path(configured)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "beamhall"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every option, with a default that works.

    Attributes:
        data: Directory of everything that is kept. Its file ``config.yaml`` may set the other options.
        host: Address to listen on.
        port: TCP port; 0 takes any free one.
        host_names: Names, besides localhost and addresses, under which browsers may call the service.
        gpus: ``auto`` finds the machine's GPUs; a number simulates so many.
        gpu_shares: How many Pods may share one GPU.
        warm_start: Whether Python containers may start by forking a parent that has modules imported.
        step_environments: Whether what pipelines' steps and training functions install becomes environments, made once.
        stop_pods: Whether stopping the service ends the Pods. If not, they run on and the next start adopts them.
        allow_host_path: Whether Pods may mount directories of the host (``hostPath``).
        cgroups: Whether limits of Pods are kept by control groups, where the machine permits that.
        pod_pids_limit: Processes and threads that a Pod may have, where control groups are permitted; 0: no limit.
        container_log_max_mib: How large a file of a container's log may grow before it is rotated, in MiB.
        container_log_max_files: How many files of a container's log are kept.
        pass_environment: Variables of the service's own environment that containers get too.
        capabilities: Whose controllers run in this process. What is left out can run as `beamhall operator`.
        node_name: Name of the one node; empty: the host's name.
        simulated_nodes: How many nodes to simulate beside this machine, for studies of scale: their Pods do nothing.
        simulated_node: What each of them has, such as ``cpu=32,memory=128Gi,nvidia.com/gpu=8``.
        simulated_open: Whether every Pod may go to simulated nodes, not only those that tolerate their taint.
        history_url: Database of runs and their facts, ``postgresql://...``; empty: a file in the data directory.
        pipeline_root: Where runs keep artifacts that say nothing else, such as ``s3://lab/runs``; empty: a directory of
            the data directory.
        pipeline_fail_fast: Whether after a failed step no new steps of the same DAG start, as KFP's backend does it.
        final_status_state: What exit tasks are told of success: ``SUCCEEDED``, or ``COMPLETE`` as KFP's backend says.
        step_caching: Whether steps take the results of earlier ones with the same inputs.
        fit_steps: Whether steps that ask for what no node has do with what there is; if not, they wait for it.
        steps_at_once: How many steps of all runs run at once; 0: eight for each core, but 16 at least.
        time_zone: That of cron expressions of recurring runs that name none.
        artifact_roots: Directories beside that of the data from which artifacts may be shown to those who may read
            runs, with ``:`` between them.
        fetch_privately: Whether pipelines may be fetched from addresses inside the laboratory too.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``json``, ``text``, or ``auto``: text on a terminal.
    """

    data: Path = msgspec.field(default_factory=default_data_dir)
    host: str = "127.0.0.1"
    port: int = 8080
    host_names: tuple[str, ...] = ()
    gpus: str = "auto"
    gpu_shares: int = 1
    warm_start: bool = True
    step_environments: bool = True
    stop_pods: bool = False
    allow_host_path: bool = False
    cgroups: bool = True
    pod_pids_limit: int = 0
    container_log_max_mib: int = 10
    container_log_max_files: int = 5
    pass_environment: tuple[str, ...] = (
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
        "ALL_PROXY", "all_proxy",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME",
    )  # fmt: skip
    capabilities: tuple[str, ...] = ("training",)
    node_name: str = ""
    simulated_nodes: int = 0
    simulated_node: str = "cpu=32,memory=128Gi"
    simulated_open: bool = False
    history_url: str = ""
    pipeline_root: str = ""
    pipeline_fail_fast: bool = True
    final_status_state: str = "SUCCEEDED"
    step_caching: bool = True
    fit_steps: bool = True
    steps_at_once: int = 0
    time_zone: str = "UTC"
    artifact_roots: str = ""
    fetch_privately: bool = False
    log_level: str = "info"
    log_format: str = "auto"


_LISTS = ("host_names", "pass_environment", "capabilities")
_CAPABILITIES = ("training",)
_CHOICES = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("auto", "json", "text"),
    "final_status_state": ("SUCCEEDED", "COMPLETE"),
}
_MAX_SIMULATED = 10_000
_SIMULATED_PODS = "1000"


def load_settings(options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Put the settings together.

    Args:
        options: What the command line said; None means that it said nothing.
        environ: Where ``BEAMHALL_*`` is looked up.

    Raises:
        SettingsError: An option is unknown or its value does not fit.
    """
    said = {name: value for name, value in options.items() if value is not None}
    data = Path(said.get("data") or environ.get("BEAMHALL_DATA") or default_data_dir()).expanduser().absolute()
    file = data / "config.yaml"
    merged = _from_file(file) | _from_environment(environ) | said | {"data": str(data)}
    try:
        settings = msgspec.convert(merged, Settings, strict=False, dec_hook=lambda cls, value: cls(value))
    except msgspec.ValidationError as err:
        raise SettingsError(f"{err}; settings come from {file}, BEAMHALL_* variables and options") from err
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if not 0 <= settings.port <= 65535:
        raise SettingsError(f"port {settings.port} is outside 0-65535")
    if settings.gpus != "auto" and not settings.gpus.isdecimal():
        raise SettingsError(f"gpus is {settings.gpus!r}; write auto, or a number to simulate so many")
    for name, nothing in (("pod_pids_limit", "no limit"), ("steps_at_once", "as many as fit")):
        if getattr(settings, name) < 0:
            raise SettingsError(f"{name} is {getattr(settings, name)}; write 0 for {nothing}, or more")
    for name in ("gpu_shares", "container_log_max_mib", "container_log_max_files"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"{name} is {getattr(settings, name)}; write 1 or more")
    if not 0 <= settings.simulated_nodes <= _MAX_SIMULATED:
        raise SettingsError(f"simulated_nodes is {settings.simulated_nodes}; write 0 to {_MAX_SIMULATED}")
    simulated_resources(settings.simulated_node)
    if unknown := set(settings.capabilities) - set(_CAPABILITIES):
        raise SettingsError(f"capabilities names {sorted(unknown)}; there are {list(_CAPABILITIES)}")
    _check_words(settings)


def _check_words(settings: Settings) -> None:
    for name, right in _CHOICES.items():
        if getattr(settings, name) not in right:
            raise SettingsError(f"{name} is {getattr(settings, name)!r}; write {', '.join(right[:-1])} or {right[-1]}")
    try:
        zoneinfo.ZoneInfo(settings.time_zone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as err:
        raise SettingsError(f"time_zone is {settings.time_zone!r}; write a name such as UTC or Europe/Zurich") from err


def simulated_resources(text: str) -> dict[str, str]:
    """Read what a simulated node has: ``cpu=32,memory=128Gi,nvidia.com/gpu=8``; 1000 Pods unless ``pods`` is given.

    Raises:
        SettingsError: A part is not of that form.
    """
    found = {"pods": _SIMULATED_PODS}
    for part in filter(None, text.split(",")):
        name, _, quantity = part.partition("=")
        try:
            found[name.strip()] = canonical_quantity(quantity.strip())
        except ValueError as err:
            raise SettingsError(f"simulated_node says {part!r}; write cpu=32,memory=128Gi,nvidia.com/gpu=8") from err
    return found


def _from_file(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError) as err:
        raise SettingsError(f"cannot read {file}: {err}") from err
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file} must hold settings as `name: value` lines")
    return content


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        value = environ.get(f"BEAMHALL_{name.upper()}")
        if value is not None:
            found[name] = [v for v in value.split(",") if v] if name in _LISTS else value
    return found
