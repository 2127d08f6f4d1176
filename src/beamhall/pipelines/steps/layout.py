"""Where the files of a run are: names of tasks and outputs as parts of a path, whatever they are.

The directory of one execution holds ``executor_output.json``, ``parameters/<name>``, an entry for each artifact, and
``logs``. Names become parts that are no longer than file systems allow, that nothing reads as a pattern, a query or
another directory, and that differ where the names differ. Read on in ``facts``.
"""

import hashlib
from functools import lru_cache

OUTPUT_FILE = "executor_output.json"
PARAMETERS = "parameters"
LOGS = "logs"
LOG_FILE = f"{LOGS}/main.log"
"""Where the log of an execution is kept, in its directory."""

MAX_PART_BYTES = 200
"""How long one part may be: file systems allow 255, and some leave room for what they append."""

MAX_TASK_BYTES = 800
"""How long all parts of a task may be together: object stores allow 1,024 for a whole key, Linux 4,096 for a path."""

_KEPT = frozenset("-_.+=@,: ")
_OURS = frozenset((OUTPUT_FILE, PARAMETERS, LOGS))
_DIGEST_LENGTH = 16


@lru_cache(maxsize=4096)
def part_of(name: str) -> str:
    """Give a name as one part of a path; letters and digits of any script stay as they are.

    Everything else but ``-_.+=@,:`` and spaces within is written as ``%XX`` for each byte, so that no two names meet.
    A name that is too long is cut, and ends with a digest of the whole.
    """
    found = "".join(letter if letter.isalnum() or letter in _KEPT else _escaped(letter) for letter in name)
    if found.strip(". ") == "":
        found = "".join(_escaped(letter) for letter in name) or "%"
    elif found[0] == " " or found[-1] in ". ":
        found = (_escaped(found[0]) if found[0] == " " else found[0]) + found[1:]
        found = found[:-1] + _escaped(found[-1]) if found[-1] in ". " else found
    if len(found.encode()) <= MAX_PART_BYTES:
        return found
    return f"{_cut(found, MAX_PART_BYTES - _DIGEST_LENGTH - 1)}%{_digest(name)}"


def artifact_part(name: str) -> str:
    """Give the name of an artifact as a part of a path that is none of a step's own files."""
    found = part_of(name)
    return _escaped(found[0]) + found[1:] if found in _OURS else found


@lru_cache(maxsize=4096)
def directories_of(path: str) -> str:
    """Give the directories of a task: ``/loop[3]/train`` has ``loop/3/train``; the root has none.

    No two tasks of a run share one: what is below a loop are its iterations alone.
    """
    if not path:
        return ""
    parts = [part for piece in path.strip("/").split("/") for part in _parts_of(piece)]
    found = "/".join(parts)
    if len(found.encode()) <= MAX_TASK_BYTES:
        return found
    last = parts[-1]
    room = MAX_TASK_BYTES - len(last.encode()) - _DIGEST_LENGTH - 2
    return f"{_cut(found, room).rstrip('/')}%{_digest(path)}/{last}"


def run_root(pipeline_root: str, pipeline: str, run_id: str) -> str:
    """Give the URI of a run's directory; no slash at its end."""
    return f"{pipeline_root.rstrip('/')}/{part_of(pipeline)}/{part_of(run_id)}"


def execution_root(root: str, path: str, execution: str | int) -> str:
    """Give the URI of the directory of one execution of a task, of the run with this ``run_root``."""
    return f"{root}/{directories_of(path)}/{part_of(str(execution))}"


def _parts_of(piece: str) -> list[str]:
    """Split ``name[3]``: the iterations of a loop are directories in it."""
    name, bracket, index = piece.partition("[")
    if bracket and index.endswith("]") and index[:-1].isdigit():
        return [part_of(name), part_of(index[:-1])]
    return [part_of(piece)]


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode(errors="surrogatepass"))


def _cut(text: str, n_bytes: int) -> str:
    """Give the beginning of a text, no more than so many bytes, with no half of a letter or an escape."""
    found = text.encode()[:n_bytes].decode(errors="ignore")
    at = found.rfind("%", -2)
    return found if at < 0 else found[:at]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
