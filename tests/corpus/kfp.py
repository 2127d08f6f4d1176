"""The pipelines of the corpus, run by the real ``kfp.Client`` on a running service, and what their index expects.

As a program it runs all of them, or those whose name contains an argument, and prints a table::

    python -m tests.corpus.kfp http://127.0.0.1:8080 DATA [PART ...]
"""

import csv
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

_ABOVE = [parent / "shared/corpus/kfp" for parent in Path(__file__).resolve().parents[2:]]
CORPUS = next((path for path in _ABOVE if (path / "index.tsv").exists()), _ABOVE[0])

NEEDS: Mapping[str, Mapping[str, Any]] = {
    "v1/secrets": {
        "test-secret-1": {"username": "user1"},
        "test-secret-2": {"password": "psw1"},
        "test-secret-3": {"password": "psw2"},
        "my-secret": {"password": "pw", "username": "user"},
        "user-gcp-sa": {"type": "service_account"},
    },
    "v1/configmaps": {
        "test-cm-1": {"username": "user1"}, "test-cm-2": {"password": "psw1"}, "my-cm": {"foo": "bar"},
    },
    "v1/persistentvolumeclaims": {"abc": None, "my-existing-pvc": None},
}  # fmt: skip
"""What a cluster holds that the pipelines were written for."""


@dataclass(frozen=True)
class Row:
    """One pipeline and what is known of it."""

    file: str
    inputs: Mapping[str, Any]
    runnable: str
    expected: str
    expected_output: str
    needs: str

    @property
    def runs_here(self) -> bool:
        """Whether it needs nothing but this machine and a package index."""
        return self.runnable.startswith("yes")


def rows() -> Sequence[Row]:
    """Give all rows; none where there is no corpus."""
    if not (CORPUS / "index.tsv").exists():
        return ()
    with (CORPUS / "index.tsv").open(newline="") as file:
        return [
            Row(
                row["file"], json.loads(row["inputs_json"] or "{}"), row["runnable_locally"], row["expected_outcome"],
                row["expected_output"], row["why_or_needs"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]  # fmt: skip


def prepare(url: str, token: str) -> None:
    """Make what the pipelines need; it may be there already."""
    headers = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=f"{url}/k8s/api", headers=headers, trust_env=False) as http:
        for where, objects in NEEDS.items():
            version, plural = where.split("/")
            for name, data in objects.items():
                body: dict[str, Any] = {"metadata": {"name": name}}
                if plural == "persistentvolumeclaims":
                    body["spec"] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
                else:
                    body["stringData" if plural == "secrets" else "data"] = data
                answer = http.post(f"/{version}/namespaces/default/{plural}", json=body)
                assert answer.status_code in (201, 409), answer.text
    client_of(url, token).create_experiment("Default")  # clients that do so at the same time meet a 409


def client_of(url: str, token: str) -> Any:
    """Give the real client."""
    import kfp  # noqa: PLC0415

    return kfp.Client(host=url, existing_token=token, namespace="default")


def start(client: Any, row: Row, root: str) -> str:
    """Start a pipeline, and give the id of its run.

    Args:
        client: As ``client_of`` gives it.
        row: The pipeline.
        root: Where the artifacts go of those pipelines that name a root which nothing here has.
    """
    started = client.create_run_from_pipeline_package(
        str(CORPUS / row.file), arguments=dict(row.inputs), run_name=Path(row.file).stem, enable_caching=None,
        pipeline_root=root if "pipeline_root" in row.needs else None,
    )  # fmt: skip
    return str(started.run_id)


def ended(client: Any, run_id: str, timeout_s: float = 200) -> Any:
    """Wait for the end of a run, and give it. Raises ``TimeoutError``."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = client.get_run(run_id)
        if found.state in ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"):
            return found
        time.sleep(0.25)
    raise TimeoutError(f"{found.display_name} is {found.state} after {timeout_s} s")


def verdict(row: Row, state: str, error: str) -> str:
    """Say how the end of a run differs from what the index expects; empty: not at all."""
    expected = row.expected.split(" ")[0]
    if state != expected and "most of the time" not in row.expected:
        return f"is {state}, expected {row.expected}: {error[:500]}"
    return ""


def main(url: str, data: Path, parts: Sequence[str]) -> None:
    """Run and print."""
    token, root = (data / "token").read_text().strip(), str(data / "artifacts" / "elsewhere")
    prepare(url, token)
    wanted = [row for row in rows() if row.runs_here and (not parts or any(part in row.file for part in parts))]

    def one(row: Row) -> bool:
        began = time.monotonic()
        try:
            client = client_of(url, token)
            found = ended(client, start(client, row, root))
            said = verdict(row, found.state, found.error.message if found.error else "")
        except Exception as err:  # noqa: BLE001  one row must not end the table
            said = f"{type(err).__name__}: {str(err)[:700]}"
        took_s = time.monotonic() - began
        print(f"{'DIFFERS' if said else 'ok     '} {took_s:6.1f} s  {row.file}  {said}", flush=True)
        return not said

    with ThreadPoolExecutor(4) as pool:
        good = sum(pool.map(one, wanted))
    print(f"{good} of {len(wanted)} as expected")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
