"""Holds a step before or after its command, where its pipeline asks for that, so that people can look into its Pod.

``set_debug_pause`` of the KFP SDK sets the variables; a step goes on when somebody makes a file, as with Argo.

Source: Argo Workflows, "Debug Pause" and ``cmd/argoexec/commands/emissary.go``.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

_PLACE = Path("/var/run/argo/ctr/main")
_PERIOD_S = 0.2


def pause_before(environ: Mapping[str, str]) -> None:
    """Hold the step before its command, if that is asked for."""
    if _is_asked("BEFORE", environ):
        _pause("before")


def pause_after(environ: Mapping[str, str], exit_code: int) -> None:
    """Hold the step after its command, if that is asked for, or only where the command failed."""
    if _is_asked("AFTER", environ) or (exit_code != 0 and _is_asked("ON_ERROR", environ)):
        _pause("after")


def _is_asked(when: str, environ: Mapping[str, str]) -> bool:
    return environ.get(f"ARGO_DEBUG_PAUSE_{when}", "").lower() == "true"


def _pause(when: str) -> None:
    file = _place() / when
    sys.stderr.write(f"beamhall: paused {when} the step's command; it goes on after this in its Pod: touch {file}\n")
    sys.stderr.flush()
    while not file.exists():
        time.sleep(_PERIOD_S)


def _place() -> Path:
    """Give the directory for the files: Argo's, or where the Pod cannot have that, one of its own."""
    try:
        _PLACE.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="pause-"))
    return _PLACE
