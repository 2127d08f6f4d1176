"""What a run made, on a terminal: results, metrics as numbers, confusion matrices as tables, files by their place."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from beamhall.cli.kfp_api import PAGE_SIZE, KfpApi, Message
from beamhall.cli.run_tree import RunTree
from beamhall.cli.tables import print_table

SHOWN = 50
"""How many artifacts of a run are printed."""

_MATRIX_SIZE = 20
_TEXT_SIZE = 2000


def print_results(api: KfpApi, run_id: str) -> None:
    """Print the values that a pipeline returned; nothing where it returns none."""
    root = json.dumps({"predicates": [{"operation": "EQUALS", "key": "type", "string_value": "ROOT"}]})
    for task in api.listing("/tasks", "tasks", 1, run_id=run_id, filter=root):
        found = task.get("outputs", {}).get("parameters", ())
        if found:
            print_table(
                ("RESULT", "VALUE"), [(str(each.get("name", "")), _text(each.get("value"))) for each in found], ""
            )


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _TEXT_SIZE else f"{text[:_TEXT_SIZE]}…"


def print_artifacts(api: KfpApi, run_id: str, tree: RunTree) -> None:
    """Print the artifacts that the tasks of a run made; nothing where there are none."""
    names = {node.id: node.path.removeprefix("/") for node in tree.nodes()}
    links = list(api.listing("/artifact_tasks", "artifact_tasks", PAGE_SIZE, run_ids=run_id, type="OUTPUT"))
    links = [link for link in links if link.get("task_id") in names]
    found = [(names[link["task_id"]], api.get(f"/artifacts/{link['artifact_id']}")) for link in links[:SHOWN]]
    made = [(task, each) for task, each in found if "number_value" not in each]  # those stand in their Metrics too
    if not made:
        return
    click.echo()
    rows = [(task, str(each.get("name", "")), str(each.get("type", "")), _value(each)) for task, each in made]
    print_table(("TASK", "ARTIFACT", "TYPE", "VALUE OR PLACE"), rows, "")
    if len(links) > SHOWN:
        click.echo(f"… and {len(links) - SHOWN} more")
    for task, each in made:
        for line in _confusion_matrix(each.get("metadata") or {}):
            click.echo(f"{task} | {line}")


def _value(artifact: Message) -> str:
    if artifact.get("type") == "Metric":
        metadata = artifact.get("metadata") or {}
        return "  ".join(f"{name}={_count(value)}" for name, value in metadata.items())
    return str(artifact.get("uri", ""))


def _confusion_matrix(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Give the lines of a confusion matrix: what things are, against what they were taken for."""
    matrix = metadata.get("confusionMatrix") or {}
    labels: Sequence[str] = [str(each.get("displayName", "")) for each in matrix.get("annotationSpecs") or ()]
    rows = [each.get("row") or () for each in matrix.get("rows") or ()]
    if not rows or len(labels) != len(rows) or len(labels) > _MATRIX_SIZE:
        return
    cells = [["is \\ found", *labels], *([label, *map(_count, row)] for label, row in zip(labels, rows, strict=True))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(labels) + 1)]
    yield ""
    for line in cells:
        yield "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))


def _count(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)
