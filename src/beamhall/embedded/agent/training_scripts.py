"""What the command line of a training function comes to: packages to install, then the rest of the script.

The training SDKs pack a function into one script for ``bash -c``: it installs packages, if there are any, writes the
function's source to a file, and starts Python, ``torchrun`` or ``mpirun`` on it. The first part is read here, exactly,
and taken off; the rest runs as it is written. A script that differs in anything is not recognised. Pure.

Source: kubeflow 0.5, ``kubeflow/trainer/backends/kubernetes/utils.py``; kubeflow-training 1.9,
``kubeflow/training/utils/utils.py``.
"""

import re
import shlex
from dataclasses import replace

from beamhall.catalog.installs import Install
from beamhall.embedded.agent.pip_commands import read_commands, read_install

_PIPS_OWN_INDEX = "https://pypi.org/simple"
_ENSURE_PIP = re.compile(
    r'\s*if ! \[ -x "\$\(command -v pip\)" \]; then\s+'
    r"python -m ensurepip \|\| python -m ensurepip --user \|\| apt-get install python-pip\s+fi\s+"
)
_PIP = "PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BREAK_SYSTEM_PACKAGES=1 python -m pip install --quiet \\\n"
_ARRAYS = re.compile(
    r"PACKAGES=\((?P<packages>[^\n]*)\)\nPIP_OPTS=\((?P<options>[^\n]*)\)\nLOG_FILE=\"[^\"$`\\\n]*\"\n"
    + re.escape(
        f"""rm -f "$LOG_FILE"

if {_PIP}    --no-warn-script-location "${{PIP_OPTS[@]}}" --user "${{PACKAGES[@]}}" >"$LOG_FILE" 2>&1; then
    echo "Successfully installed Python packages (user): ${{PACKAGES[*]}}"
elif {_PIP}    --no-warn-script-location "${{PIP_OPTS[@]}}" "${{PACKAGES[@]}}" >>"$LOG_FILE" 2>&1; then
    echo "Successfully installed Python packages (system-wide): ${{PACKAGES[*]}}"
else
    echo "ERROR: Failed to install Python packages: ${{PACKAGES[*]}}" >&2
    cat "$LOG_FILE" >&2
    exit 1
fi
"""
    )
)
_LINE = re.compile(r"(?P<command>PIP_DISABLE_PIP_VERSION_CHECK=1 [^\n]*)\n")


def read_training_script(text: str) -> tuple[tuple[Install, ...], str] | None:
    """Read a script; give what it installs, and the script without that. None: it is none of an SDK's with packages."""
    ensured = _ENSURE_PIP.match(text)
    if ensured is None:
        return None
    text = text[ensured.end() :]
    install = None
    if found := _ARRAYS.match(text):
        words = [*_words(found["options"]), *_words(found["packages"])]
        install = read_install([(word, False) for word in ("pip", "install", *words)])
    elif found := _LINE.match(text):
        commands = read_commands(found["command"].strip())
        install = read_install(commands[0]) if commands and len(commands) == 1 else None
    if found is None or install is None:
        return None
    if install.index_urls == (_PIPS_OWN_INDEX,):  # the SDKs always name one; that one is no choice of anybody's
        install = replace(install, index_urls=())
    return (install,), text[found.end() :]


def _words(array: str) -> list[str]:
    """Split an array of bash whose words are literal; one that is not comes out as a word that pip does not know."""
    try:
        return shlex.split(array)
    except ValueError:
        return ["--?"]
