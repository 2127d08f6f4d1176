"""A run as a tree of tasks that grows while it is followed, and how it looks on a terminal.

Made of the run's events, and of its pipeline, which says what is still to come. Reads nothing itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from beamhall.pipelines.engine.rows import parent_of
from beamhall.pipelines.spec.ir import Component, Pipeline

FINAL = frozenset(("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"))
ITERATIONS_SHOWN = 5
"""How many iterations of a loop have lines of their own: those that failed or run, before those that are done."""

_LOOKS: Mapping[str, tuple[str, str]] = {
    "PENDING": ("○", "bright_black"),
    "RUNNING": ("●", "cyan"),
    "SUCCEEDED": ("✓", "green"),
    "SKIPPED": ("-", "bright_black"),
    "FAILED": ("✗", "red"),
    "CANCELING": ("◌", "yellow"),
    "CANCELED": ("✗", "yellow"),
    "PAUSED": ("‖", "yellow"),
}
_URGENT = {"FAILED": 0, "RUNNING": 1, "CANCELING": 1, "PENDING": 2}


@dataclass
class Node:
    """One task of a run, as it is known now. Times are microseconds since 1970, 0 where they are not yet."""

    path: str
    name: str
    id: str = ""
    type: str = "RUNTIME"
    state: str = "PENDING"
    is_cached: bool = False
    started_at: int = 0
    finished_at: int = 0
    error: str = ""
    inside: dict[str, "Node"] = field(default_factory=dict)

    @property
    def held(self) -> str:
        """What keeps it from going on; empty: nothing that is known."""
        return "" if self.state in FINAL else self.error.partition("\n")[0]


class RunTree:
    """The tree.

    Args:
        title: What stands at its root.
        pipeline: What is run; None: only what has begun is shown.
    """

    def __init__(self, title: str, pipeline: Pipeline | None = None) -> None:
        self._title = title
        self._pipeline = pipeline
        self._nodes: dict[str, Node] = {}
        self.root = Node("", title, type="ROOT")
        self.error = ""
        if pipeline is not None:
            self._expect(self.root, pipeline.root)

    def take(self, event: Mapping[str, Any]) -> Node | None:
        """Take note of an event; give the task whose state it changed."""
        data = event.get("data") or {}
        if event.get("kind") == "run":
            return self._take_run(data, moment_of(event.get("created_at", "")))
        if event.get("kind") != "task":
            return None
        node = self._node(event.get("path", ""), data.get("name", ""))
        before = node.state
        node.id, node.type = data.get("id", node.id), data.get("type", node.type)
        node.state, node.is_cached = data.get("state", node.state), bool(data.get("cached", node.is_cached))
        node.started_at = data.get("started_at") or node.started_at
        node.finished_at = data.get("finished_at") or 0
        was_held, node.error = node.held, data.get("error", "")
        if node.type == "LOOP":
            node.inside = {key: each for key, each in node.inside.items() if each.id or each.path.endswith("]")}
        return node if node.state != before or (node.held and node.held != was_held) else None

    def _take_run(self, data: Mapping[str, Any], at: int) -> Node | None:
        before, self.root.state = self.root.state, data.get("state", self.root.state)
        self.error = data.get("error", self.error)
        if self.root.state not in ("PENDING", *FINAL):
            self.root.started_at, self.root.finished_at = self.root.started_at or at, 0
        elif self.root.state in FINAL:
            self.root.finished_at = at
        return self.root if self.root.state != before else None

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended."""
        return self.root.state in FINAL

    def nodes(self) -> Sequence[Node]:
        """Give all tasks but the root, in the order in which they were heard of."""
        return list(self._nodes.values())

    def failed(self) -> Sequence[Node]:
        """Give the steps that failed, in no order."""
        return [node for node in self._nodes.values() if node.state == "FAILED" and node.type == "RUNTIME"]

    def picture(self, now: int) -> Sequence[str]:
        """Draw it as it is at a moment, in microseconds since 1970: lines with colours."""
        return [_line(self.root, now), *_drawn(self.root, now)]

    def _node(self, path: str, name: str) -> Node:
        if not path:
            return self.root
        node = self._nodes.get(path)
        if node is None:
            parent = parent_of(path) or ""
            above = self._node(parent, "")
            node = above.inside.get(path) or Node(path, name)
            above.inside[path] = self._nodes[path] = node
        node.name = _shown(path, name or node.name)
        return node

    def _expect(self, node: Node, component: Component) -> None:
        """Add what a DAG will do; what is inside of loops is only seen when it begins."""
        if self._pipeline is None or component.dag is None:
            return
        for name, task in component.dag.tasks.items():
            inner = Node(f"{node.path}/{name}", task.task_info.name or name)
            node.inside[inner.path] = self._nodes[inner.path] = inner
            if not task.is_loop:
                self._expect(inner, self._pipeline.component_of(task))


def _shown(path: str, name: str) -> str:
    return f"[{path[path.rindex('[') + 1 :]}" if path.endswith("]") else name or path.rpartition("/")[2]


def _drawn(node: Node, now: int) -> Iterator[str]:
    """Give the lines of what is inside of a task."""
    seen = list(_seen(node))
    for number, (inner, note) in enumerate(seen):
        is_last = number == len(seen) - 1
        yield ("└── " if is_last else "├── ") + (_faint(note) if inner is None else _line(inner, now))
        if inner is not None and inner.state not in ("SKIPPED", "PENDING"):
            yield from (("    " if is_last else "│   ") + line for line in _drawn(inner, now))


def _seen(node: Node) -> Iterator[tuple[Node | None, str]]:
    """Give the tasks inside of one that have lines; None stands for the rest of a loop's iterations."""
    inside = list(node.inside.values())
    if node.type != "LOOP" or len(inside) <= ITERATIONS_SHOWN:
        yield from ((each, "") for each in inside)
        return
    done = sum(each.state in FINAL for each in inside)
    urgent = sorted(inside, key=lambda each: _URGENT.get(each.state, 3))[:ITERATIONS_SHOWN]
    yield from ((each, "") for each in urgent)
    yield None, f"… {len(inside)} iterations so far, {done} have ended"


def _line(node: Node, now: int) -> str:
    sign, style = _LOOKS.get(node.state, ("?", "bright_black"))
    took = duration_text((node.finished_at or now) - node.started_at) if node.started_at else ""
    cached = _faint(" from the cache") if node.is_cached else ""
    held = click.style(f"  {node.held}", "yellow") if node.held else ""
    return f"{click.style(f'{sign} {node.name}', style)}  {_faint(took)}{cached}{held}"


def _faint(text: str) -> str:
    return click.style(text, "bright_black") if text else ""


def moment_of(time: str) -> int:
    """Read a time (RFC 3339) as microseconds since 1970; 0 where there is none."""
    return int(datetime.fromisoformat(time).timestamp() * 1e6) if time else 0


def duration_text(microseconds: int) -> str:
    """Say how long something took: ``0.4 s``, ``2 min 5 s``, ``3 h 10 min``."""
    seconds = max(0, microseconds) / 1e6
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{minutes} min {int(seconds % 60)} s" if minutes < 60 else f"{hours} h {minutes % 60} min"
