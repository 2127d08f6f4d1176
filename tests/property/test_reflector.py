"""The reflector's one law: whatever goes wrong, who follows ends up with what the server has, and hears nothing twice.

The server is a model: a history of changes, of which each watch gives a part before it breaks in one of the ways that
servers break in.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from beamhall.client.local import LocalClient
from beamhall.client.protocol import ALL, Page, Selection, WatchEvent
from beamhall.client.reflector import Pace, Removed, Replaced, Upserted, reflect
from beamhall.kernel.errors import (
    ApiError,
    Expired,
    Forbidden,
    InternalError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import Object, name_of

FAULTS = ["end", "lost", "expired", "defect", "full", "forbidden", "gone", "repeat"]
ERRORS: dict[str, type[ApiError]] = {
    "lost": ServiceUnavailable,
    "expired": Expired,
    "defect": InternalError,
    "full": TooManyRequests,
    "forbidden": Forbidden,
    "gone": NotFound,
}


class Over(Exception):
    """The history has been given, and the server is well: nothing more will happen."""


def revision_name(number: int) -> str:
    """Names of revisions that no order can be read from."""
    return format(pow(7, number + 1, 1_000_003), "x")


@dataclass
class Model:
    """A server with a history. ``plan`` says how many events each attempt gives and how it then ends."""

    history: list[tuple[str, str]]  # (name, what happens to it): "set" or "unset"
    plan: list[tuple[int, str]]
    moved: int = 0  # how much of the history has happened
    events: list[WatchEvent] = field(default_factory=list)
    state: dict[str, Object] = field(default_factory=dict)

    def advance(self) -> None:
        """Let one thing of the history happen."""
        name, what = self.history[self.moved]
        self.moved += 1
        obj: Object = {"metadata": {"name": name, "resourceVersion": revision_name(self.moved)}}
        if what == "set":
            self.events.append(WatchEvent("MODIFIED" if name in self.state else "ADDED", obj))
            self.state[name] = obj
        else:
            self.events.append(WatchEvent("DELETED" if self.state.pop(name, None) else "BOOKMARK", obj))

    def fault(self) -> tuple[int, str]:
        return self.plan.pop(0) if self.plan else (10**6, "end")

    async def list(
        self, user: User, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = ""
    ) -> Page:
        first = int(continue_.split("@", maxsplit=1)[0]) if continue_ else 0
        if not continue_:
            count, how = self.fault()
            for _ in range(min(count, 2, len(self.history) - self.moved)):  # the world does not wait for lists
                self.advance()
            if how in ERRORS and self.moved + count > 0 and how != "forbidden":
                raise ERRORS[how](how)
        elif continue_ != f"{first}@{self.moved}":
            raise Expired("the list went on")
        items = [self.state[name] for name in sorted(self.state)]
        last = first + limit if limit else len(items)
        more = f"{last}@{self.moved}" if last < len(items) else ""
        return Page(items[first:last], revision_name(self.moved), more)

    @asynccontextmanager
    async def watch(
        self, user: User, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        count, how = self.fault()
        if count == 0 and how in ERRORS:
            raise ERRORS[how](how)
        places = {revision_name(number): number for number in range(self.moved + 1)}
        yield self._events(places[revision] - (how == "repeat" and places[revision] > 0), count, how)

    async def _events(self, place: int, count: int, how: str) -> AsyncIterator[WatchEvent]:
        for _ in range(count):
            if place == self.moved:
                if self.moved == len(self.history):
                    if not self.plan:
                        raise Over
                    return
                self.advance()
            event = self.events[place]
            place += 1
            yield event
        if how in ERRORS:
            raise ERRORS[how](how)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a reflector has no business with {name}")


histories = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "set", "unset"])), max_size=12)
plans = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(FAULTS)), max_size=12)


@given(histories, plans)
def test_who_follows_ends_up_with_what_the_server_has(
    history: list[tuple[str, str]], plan: list[tuple[int, str]]
) -> None:
    asyncio.run(_follow(Model(history, plan)))


async def _follow(model: Model) -> None:
    mirror: dict[str, str] = {}
    delays = 0

    async def sleep(delay_s: float) -> None:
        nonlocal delays
        delays += 1
        assert 0 < delay_s < 60

    pace = Pace(page_size=1, sleep=sleep)
    try:
        async with asyncio.timeout(20), aclosing(reflect(LocalClient(model, User("t")), POD, pace=pace)) as changes:
            async for change in changes:
                if isinstance(change, Replaced):
                    mirror = {name_of(obj): obj["metadata"]["resourceVersion"] for obj in change.objects}
                elif isinstance(change, Upserted):
                    name, revision = name_of(change.object), change.object["metadata"]["resourceVersion"]
                    assert mirror.get(name) != revision, "given twice"
                    mirror[name] = revision
                elif isinstance(change, Removed):
                    assert mirror.pop(name_of(change.object), None), "removed twice"
    except Over:
        pass
    assert mirror == {name: obj["metadata"]["resourceVersion"] for name, obj in model.state.items()}
