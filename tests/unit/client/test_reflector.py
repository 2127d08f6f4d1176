"""The reflector against a server that does what a script says: every way in which following goes wrong."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import ALL, Page, Selection, WatchEvent
from beamhall.client.reflector import Change, Pace, Removed, Replaced, Synced, Upserted, reflect
from beamhall.kernel.errors import (
    ApiError,
    BadRequest,
    Expired,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import Object, name_of


def pod(name: str, revision: str) -> Object:
    return {"metadata": {"name": name, "namespace": "n", "resourceVersion": revision}}


def added(name: str, revision: str) -> WatchEvent:
    return WatchEvent("ADDED", pod(name, revision))


def modified(name: str, revision: str) -> WatchEvent:
    return WatchEvent("MODIFIED", pod(name, revision))


def deleted(name: str, revision: str) -> WatchEvent:
    return WatchEvent("DELETED", pod(name, revision))


def bookmark(revision: str) -> WatchEvent:
    return WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": revision}})


class ScriptEnd(Exception):
    """The script is over: the reflector asked for one thing more."""


Step = Page | ApiError | Sequence[WatchEvent | ApiError]


@dataclass
class Script:
    """A resource API of which only list and watch answer, with one step of the script each.

    A page or an error answers a list or a watch; a sequence answers a watch: its events, then the end or an error.
    """

    steps: Iterator[Step]
    asked: list[str] = field(default_factory=list)

    def _next(self, question: str) -> Step:
        step = next(self.steps, None)
        if step is None:
            raise ScriptEnd
        self.asked.append(question)
        if isinstance(step, ApiError):
            raise step
        return step

    async def list(
        self, user: User, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = ""
    ) -> Page:
        step = self._next(f"list limit={limit}" + (f" continue={continue_}" if continue_ else ""))
        assert isinstance(step, Page), "the script has a watch where a list is asked"
        return step

    @asynccontextmanager
    async def watch(
        self, user: User, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        step = self._next(f"watch {revision}")
        assert not isinstance(step, Page | ApiError), "the script has a list where a watch is asked"
        try:
            yield self._events(step)
        finally:
            self.asked.append("closed")

    async def _events(self, step: Sequence[WatchEvent | ApiError]) -> AsyncIterator[WatchEvent]:
        for item in step:
            if isinstance(item, ApiError):
                raise item
            yield item

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a reflector has no business with {name}")


@dataclass
class Run:
    """What came of following a script to its end."""

    changes: list[Change]
    asked: list[str]
    delays: list[float]
    retried: list[ApiError]
    error: ApiError | None = None

    @property
    def said(self) -> list[str]:
        """The changes, short."""
        return [_short(change) for change in self.changes]

    @property
    def questions(self) -> list[str]:
        return [question for question in self.asked if question != "closed"]


def _short(change: Change) -> str:
    match change:
        case Replaced():
            return f"={','.join(map(name_of, change.objects))}@{change.revision}"
        case Upserted():
            return f"+{name_of(change.object)}@{change.revision}"
        case Removed():
            return f"-{name_of(change.object)}@{change.revision}"
        case Synced():
            return f"@{change.revision}"


async def follow(*steps: Step, **pace: Any) -> Run:
    """Follow a script to its end."""
    run = Run([], [], [], [])

    async def sleep(delay_s: float) -> None:
        run.delays.append(delay_s)

    settings: dict[str, Any] = {
        "page_size": 2,
        "delay_min_s": 1.0,
        "delay_max_s": 30.0,
        "sleep": sleep,
        "jitter": lambda: 0.5,
        "on_retry": lambda error, _: run.retried.append(error),
    }
    script = Script(iter(steps), run.asked)
    client = LocalClient(script, User("test"))
    try:
        async with aclosing(reflect(client, POD, pace=Pace(**settings | pace))) as changes:
            async for change in changes:
                run.changes.append(change)
    except ScriptEnd:
        pass
    except ApiError as error:
        run.error = error
    return run


LIST = Page([pod("a", "1")], "5")


@pytest.fixture
def lossy_watch() -> list[Step]:
    """A watch that breaks after each event."""
    broken = ServiceUnavailable("connection lost")
    return [LIST, [added("b", "6"), broken], [modified("b", "7"), broken], [deleted("b", "8"), broken]]


@pytest.fixture
def repeating_watch() -> list[Step]:
    """A server that gives again what it gave, as an apiserver behind a balancer may."""
    return [LIST, [added("b", "6"), modified("b", "7")], [modified("b", "7"), deleted("b", "8")], [deleted("b", "8")]]


@pytest.fixture
def expired_watch() -> list[Step]:
    """A server that forgot the revision meanwhile: on entering once, and once under way."""
    return [
        LIST,
        Expired("too old"),
        Page([], "9"),
        [added("c", "10"), Expired("too old")],
        Page([pod("d", "11")], "12"),
    ]


@pytest.fixture
def outage() -> list[Step]:
    """A server that is away for long, and back."""
    return [LIST, *[ServiceUnavailable("away")] * 8, Page([pod("a", "1")], "5"), [added("b", "6")]]


@pytest.fixture
def late_definition() -> list[Step]:
    """A kind whose definition comes later."""
    return [NotFound("no such resource"), TooManyRequests("initializing", retry_after_s=7), Page([], "3")]


async def test_changes_follow_the_list() -> None:
    run = await follow(LIST, [added("b", "6"), modified("a", "7"), bookmark("9"), deleted("b", "10")])
    assert run.said == ["=a@5", "+b@6", "+a@7", "@9", "-b@10"]
    assert run.questions == ["list limit=2", "watch 5"]
    assert run.delays == []


async def test_objects_come_without_owners_and_those_of_the_watch_stay_as_they_are() -> None:
    shared = pod("b", "6")
    shared["metadata"]["managedFields"] = [{"manager": "m"}]
    run = await follow(LIST, [WatchEvent("ADDED", shared)])
    (change,) = [change for change in run.changes if isinstance(change, Upserted)]
    assert change.object == pod("b", "6")
    assert shared["metadata"]["managedFields"] == [{"manager": "m"}]


async def test_what_was_listed_is_known() -> None:
    run = await follow(LIST, [modified("a", "1"), deleted("a", "6"), deleted("never", "7")])
    assert run.said == ["=a@5", "-a@6"]
    run = await follow(LIST, Expired("old"), Page([pod("b", "8")], "9"), [modified("b", "8"), deleted("a", "7")])
    assert run.said == ["=a@5", "=b@9"]


async def test_pages_are_put_together() -> None:
    run = await follow(
        Page([pod("a", "1"), pod("b", "2")], "5", "next"),
        Page([pod("c", "3"), pod("d", "4")], "5", "last"),
        Page([], "5"),
    )
    assert run.said == ["=a,b,c,d@5"]
    assert run.questions == ["list limit=2", "list limit=2 continue=next", "list limit=2 continue=last"]


async def test_a_page_that_expired_makes_one_great_list() -> None:
    run = await follow(Page([pod("a", "1")], "5", "next"), Expired("page"), Page([pod("a", "1"), pod("b", "6")], "7"))
    assert run.said == ["=a,b@7"]
    assert run.questions == ["list limit=2", "list limit=2 continue=next", "list limit=0"]


async def test_a_broken_watch_is_resumed(lossy_watch: list[Step]) -> None:
    run = await follow(*lossy_watch)
    assert run.said == ["=a@5", "+b@6", "+b@7", "-b@8"]
    assert run.questions == ["list limit=2", "watch 5", "watch 6", "watch 7"]
    assert run.delays == [1.0] * 3, "each watch had made progress, so the delay does not grow"
    assert len(run.retried) == 3


async def test_a_watch_that_ends_is_resumed_at_once() -> None:
    run = await follow(LIST, [added("b", "6")], [bookmark("8")], [added("c", "9")])
    assert run.said == ["=a@5", "+b@6", "@8", "+c@9"]
    assert run.questions == ["list limit=2", "watch 5", "watch 6", "watch 8"]
    assert run.delays == []


async def test_a_server_that_closes_at_once_is_not_hammered() -> None:
    run = await follow(LIST, [], [], [])
    assert run.delays == [1.0, 1.0, 1.0]
    assert run.questions == ["list limit=2", "watch 5", "watch 5", "watch 5"]


async def test_nothing_is_given_twice(repeating_watch: list[Step]) -> None:
    run = await follow(*repeating_watch)
    assert run.said == ["=a@5", "+b@6", "+b@7", "-b@8"]


async def test_revisions_are_never_ordered() -> None:
    run = await follow(Page([pod("a", "zz")], "yy"), [modified("a", "3"), modified("a", "x")], [modified("a", "12")])
    assert run.said == ["=a@yy", "+a@3", "+a@x", "+a@12"]
    assert run.questions == ["list limit=2", "watch yy", "watch x"]


async def test_an_expired_revision_makes_a_new_list(expired_watch: list[Step]) -> None:
    run = await follow(*expired_watch)
    assert run.said == ["=a@5", "=@9", "+c@10", "=d@12"]
    assert run.questions == ["list limit=2", "watch 5", "list limit=2", "watch 9", "list limit=2"]
    assert run.delays == [], "that is no failure: it is tried at once"


async def test_a_server_on_which_everything_expires_is_not_hammered() -> None:
    steps: list[Step] = [LIST, Expired("old")]
    run = await follow(*steps * 4)
    assert run.delays == [2.0, 4.0, 8.0]


async def test_an_outage_is_waited_out_with_growing_delays(outage: list[Step]) -> None:
    run = await follow(*outage)
    assert run.delays == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert run.said == ["=a@5", "=a@5", "+b@6"]
    assert run.questions[1:5] == ["watch 5"] * 4, "first it is resumed"
    assert run.questions[6:10] == ["list limit=2"] * 4, "then listed afresh"


async def test_delays_are_spread() -> None:
    fast = await follow(*[ServiceUnavailable("away")] * 2, jitter=lambda: 0.0)
    slow = await follow(*[ServiceUnavailable("away")] * 2, jitter=lambda: 0.99)
    assert (fast.delays, slow.delays) == ([0.5, 1.0], [1.49, 2.98])


async def test_a_kind_may_come_later(late_definition: list[Step]) -> None:
    run = await follow(*late_definition)
    assert run.said == ["=@3"]
    assert run.delays == [1.0, 7.0], "the server's own wish is the least delay"


async def test_a_defect_of_the_server_makes_a_new_list() -> None:
    run = await follow(LIST, InternalError("oops"), Page([], "6"))
    assert run.said == ["=a@5", "=@6"]


@pytest.mark.parametrize("error", [Unauthorized("who?"), Forbidden("no")])
async def test_permissions_are_demanded_first_and_waited_for_later(error: ApiError) -> None:
    assert (await follow(error)).error is error
    run = await follow(LIST, error, [added("b", "6")])
    assert run.error is None
    assert run.said == ["=a@5", "+b@6"]


@pytest.mark.parametrize("error", [BadRequest("selector"), MethodNotAllowed("watch")])
async def test_what_will_not_mend_is_raised(error: ApiError) -> None:
    assert (await follow(error)).error is error
    run = await follow(LIST, error)
    assert (run.error, run.said) == (error, ["=a@5"])


async def test_who_leaves_closes_the_watch() -> None:
    script = Script(iter([LIST, [added("b", "6"), added("c", "7")]]))
    async with aclosing(reflect(LocalClient(script, User("test")), POD)) as changes:
        async for change in changes:
            if isinstance(change, Upserted):
                break
    assert script.asked == ["list limit=500", "watch 5", "closed"]
