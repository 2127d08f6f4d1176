"""Why a Pod waits, in words: what keeps it off each sort of node, and whether waiting can help."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from beamhall.embedded.workloads.resources import Amounts, say
from beamhall.embedded.workloads.scheduling.cluster import Node
from beamhall.embedded.workloads.scheduling.shapes import Shape
from beamhall.kernel.amounts import add

THE_GROUP = "the group"
"""Who asks, where its Pods may go to different nodes."""

_NAMED = 3
_SHOWN = 6
_PLURALS = {"has": "have", "is": "are", "takes": "take"}
_FIGURES = re.compile(r"\d+(\.\d+)?([KMGTPE]i|[mkMGTPE])?\b")


def explain(nodes: Sequence[Node], obstacles: Mapping[int, str], asked: Amounts, who: str) -> str:
    """Say why no node takes what is asked.

    Args:
        nodes: All nodes.
        obstacles: By index of the node, what but resources keeps it off; nodes without an obstacle are not in it.
        asked: What is asked for.
        who: Who asks: ``this Pod``, or ``THE_GROUP``.
    """
    if not nodes:
        return "no node is there yet"
    open_nodes = [node for node in nodes if node.index not in obstacles]
    reasons = [_lack(open_nodes, asked, who)] if open_nodes else []
    by_reason: dict[str, list[str]] = {}
    for node in nodes:
        if node.index in obstacles:
            by_reason.setdefault(obstacles[node.index], []).append(node.name)
    common = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    reasons += [_of(names, reason) for reason, names in common[:_SHOWN]]
    if len(common) > _SHOWN:
        reasons.append(f"{sum(len(names) for _, names in common[_SHOWN:])} more nodes for other reasons")
    return f"0/{len(nodes)} nodes are available: {'; '.join(reasons)}"


def say_labels(nodes: Iterable[Node], shape: Shape) -> str:
    """Say which labels of a nodeSelector no node has, and what nodes have instead; empty if each is somewhere."""
    nodes = list(nodes)
    for key, value in shape.selector.items() if nodes else ():
        there = sorted({node.labels[key] for node in nodes if key in node.labels})
        if value not in there:
            instead = f"nodes have {', '.join(f'{key}={other}' for other in there[:_NAMED])}" if there else ""
            other = instead or f"no node has a label {key} at all"
            return f" (nodeSelector {key}={value}: no node has this label; {other})"
    return ""


@lru_cache(maxsize=4096)
def without_figures(message: str) -> str:
    """Give a message without its figures, which change whenever any Pod starts or ends."""
    return _FIGURES.sub("#", message)


def _of(names: Sequence[str], reason: str) -> str:
    if len(names) == 1:
        return f"node {names[0]} {reason}"
    verb, _, rest = reason.partition(" ")
    listed = ", ".join(names) if len(names) <= _NAMED else f"such as {names[0]}"
    return f"{len(names)} nodes ({listed}) {_PLURALS.get(verb, verb)} {rest}"


def _lack(open_nodes: Sequence[Node], asked: Amounts, who: str) -> str:
    total = add(node.total for node in open_nodes)
    free = add(node.free for node in open_nodes)
    if who != THE_GROUP:
        total = {name: max(node.total.get(name, 0) for node in open_nodes) for name in asked}
        free = {name: max(node.free.get(name, 0) for node in open_nodes) for name in asked}
    place = f"node {open_nodes[0].name} has" if len(open_nodes) == 1 else "the nodes have"
    for name, value in sorted(asked.items()):
        if value > total.get(name, 0):
            has = say(name, total[name]) if total.get(name) else f"no {name}"
            return f"{place} {has} in all, {who} asks for {say(name, value)}, so it can never start here"
    for name, value in sorted(asked.items()):
        if value > free.get(name, 0):
            has, rest = say(name, total.get(name, 0)), say(name, max(free.get(name, 0), 0)).split(" ")[0]
            return f"{place} {has} of which {rest} are free, {who} asks for {say(name, value)}"
    return f"what is free lies on different nodes, and {who} does not fit into the pieces"
