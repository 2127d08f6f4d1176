"""A user's pip configuration, said in uv's words: uv reads none of pip's, and machines are set up for pip.

Each of pip's settings may stand in a variable ``PIP_…`` or in pip's configuration files. What the user set for uv
itself always wins. Source: pip's "Configuration" guide; uv's "Environment variables" reference.
"""

import configparser
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SETTINGS = {
    # pip's name: (uv's variable, what stands between several values there)
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}
_OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}


def uv_variables(environ: Mapping[str, str], files: Sequence[Path] | None = None) -> dict[str, str]:
    """Give the variables that make uv follow pip's settings.

    Args:
        environ: The variables of this process.
        files: pip's configuration files, the strongest last; None: those that pip itself would read.

    Returns:
        Only variables that ``environ`` does not set, and only where pip has a setting.
    """
    settings = _pip_settings(environ, pip_files(environ) if files is None else files)
    result = {}
    for name, (variable, separator) in _SETTINGS.items():
        value = separator.join(settings.get(name, "").split())
        if value and not environ.get(variable) and not environ.get(_OLDER_NAMES.get(variable, "")):
            result[variable] = value
    if "UV_INDEX" in result and not environ.get("UV_INDEX_STRATEGY"):
        # pip takes the best version from any index; uv stops at the first index that has the name. Whoever configured
        # several indexes for pip trusts them all alike already.
        result["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return result


def uv_arguments(environ: Mapping[str, str], files: Sequence[Path] | None = None) -> Sequence[str]:
    """Give the arguments for what pip can be told and uv has no variable for: to use no index. See ``uv_variables``."""
    settings = _pip_settings(environ, pip_files(environ) if files is None else files)
    is_without_index = settings.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return ["--no-index"] if is_without_index else []


def pip_files(environ: Mapping[str, str]) -> Sequence[Path]:
    """Give the configuration files that pip reads on Unix, the strongest last."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return ()
    home = Path(environ.get("HOME") or "~").expanduser()
    site = [Path(d) / "pip" / "pip.conf" for d in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")) if d]
    own = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [*site, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", own, Path(sys.prefix) / "pip.conf"]
    return [*files, Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else files


def find_links_directories(environ: Mapping[str, str]) -> Sequence[Path]:
    """Give the local directories of wheels that uv is told of by these variables."""
    places = environ.get("UV_FIND_LINKS", "").split(",")
    paths = [Path(place.strip().removeprefix("file://")) for place in places if place.strip()]
    return [path for path in paths if path.is_dir()]


def has_local_wheel(requirement: str, environ: Mapping[str, str], python: str = "") -> bool:
    """Tell whether a wheel that meets a pin lies in a local directory of wheels.

    Args:
        requirement: A pin, such as ``torch==2.13.0``. Any local version of it (``+cpu``) meets it.
        environ: The variables that uv will see.
        python: Version of the interpreter, such as ``3.12``; empty: this one's.
    """
    name, _, version = requirement.partition("==")
    tag = "cp" + "".join(python.split(".")[:2] if python else map(str, sys.version_info[:2]))
    for directory in find_links_directories(environ):
        for wheel in directory.glob(f"{name.strip().replace('-', '_')}-*.whl"):
            parts = wheel.stem.split("-")
            if parts[1].split("+")[0] == version.split(";")[0].strip() and parts[-3] in (tag, "py3"):
                return True
    return False


def _pip_settings(environ: Mapping[str, str], files: Sequence[Path]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for file in files:
        settings |= _read(file)
    for name in (*_SETTINGS, "no-index"):
        value = environ.get("PIP_" + name.replace("-", "_").upper())
        if value is not None:
            settings[name] = value
    return settings


def _read(file: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}  # pip is the one to complain of its files
    sections = [dict(parser[s]) for s in ("global", "install") if parser.has_section(s)]
    return {key: value for section in sections for key, value in section.items() if key in (*_SETTINGS, "no-index")}
