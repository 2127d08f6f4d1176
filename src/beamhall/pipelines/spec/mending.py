"""Mends what SDKs compile wrong about loops in other groups, so that such pipelines run as they are written.

The SDK hands captured values from group to group as inputs ``pipelinechannel--…``. Two of these chains it breaks, from
2.0 to 2.17: an f-string of items of two nested loops forgets to hand the outer item, and the list of the inner loop,
down; and what uses a field of an item in a loop that is in another group hands that field to the group from outside,
where there is no item. Both are mended here by where names are known: a value that is missing is handed down from the
nearest group that has it, and what nobody has is handed to nobody.

Pure; works on the document. Only for what ``checking`` refuses, which also tells whether this helped.

Source: kfp ``compiler/compiler_utils.py``, ``get_inputs_for_all_groups``.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

Document = dict[str, Any]

_CHANNEL = "pipelinechannel--"
_ROOT = ""
_MAX_PASSES = 64


def mended(document: Mapping[str, Any]) -> Document:
    """Give a specification whose inputs come from where they can, as far as that is known."""
    mending = _Mending(copy.deepcopy(dict(document)))
    for _ in range(_MAX_PASSES):
        if not mending.has_mended():
            break
    return mending.document


class _Mending:
    def __init__(self, document: Document) -> None:
        self.document = document
        self._components = {_ROOT: document.get("root", {}), **document.get("components", {})}
        self._users: dict[str, list[tuple[str, Document]]] = {}
        for owner, task in self._tasks():
            self._users.setdefault(task.get("componentRef", {}).get("name", ""), []).append((owner, task))

    def has_mended(self) -> bool:
        """Go once through all inputs; tell whether anything was changed."""
        changed = False
        for owner, task in self._tasks():
            given = task.get("inputs", {}).get("parameters", {})
            for key, source in list(given.items()):
                wanted = source.get("componentInputParameter", "")
                if not wanted or not key.startswith(_CHANNEL) or wanted in self._inputs(owner):
                    continue
                changed = True
                if not self._hand_down(owner, wanted, ()):
                    del given[key]
                    self._forget(task, key)
        return changed

    def _tasks(self) -> Iterator[tuple[str, Document]]:
        for name, component in self._components.items():
            for task in component.get("dag", {}).get("tasks", {}).values():
                yield name, task

    def _inputs(self, name: str) -> Document:
        found: Document = self._components.get(name, {}).setdefault("inputDefinitions", {}).setdefault("parameters", {})
        return found

    def _hand_down(self, name: str, key: str, above: tuple[str, ...]) -> bool:
        """Have a component get an input from wherever it is used; tell whether all of those have it."""
        users = self._users.get(name, ())
        if not key.startswith(_CHANNEL) or not users or name in above:
            return False
        for owner, task in users:
            if task.get("parameterIterator", {}).get("itemInput") == key:
                continue
            bare = key.removeprefix(_CHANNEL)
            known = next((one for one in (key, bare) if one in self._inputs(owner)), "")
            if not known and not self._hand_down(owner, key, (*above, name)):
                return False
            task.setdefault("inputs", {}).setdefault("parameters", {})[key] = {"componentInputParameter": known or key}
            self._inputs(name).setdefault(key, copy.deepcopy(self._inputs(owner)[known or key]))
        return key in self._inputs(name)

    def _forget(self, task: Document, key: str) -> None:
        """Have a component not ask for an input that nobody gives."""
        name = task.get("componentRef", {}).get("name", "")
        for _, user in self._users.get(name, ()):
            is_item = user.get("parameterIterator", {}).get("itemInput") == key
            if is_item or key in user.get("inputs", {}).get("parameters", {}):
                return
        self._inputs(name).pop(key, None)
