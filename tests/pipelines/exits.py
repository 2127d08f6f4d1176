"""What fails, is tried again, goes on all the same, or ends it all: retries, exit handlers, ignored failures."""

from typing import List

from kfp import dsl

from tests.pipelines.branches import say
from tests.pipelines.cases import Ended, checks, component


@component
def fail(text: str = "no way") -> str:
    raise ValueError(text)


@component
def flaky(place: str, times: int, name: str = "flaky") -> int:
    """Fail so many times, and then tell how often it was tried."""
    with open(f"{place}/{name}", "a") as file:
        file.write("x")
    tried = len(open(f"{place}/{name}").read())
    assert tried > times, f"tried {tried} times"
    return tried


@component
def hear(status: dsl.PipelineTaskFinalStatus, note: str = "") -> dict:
    return {
        "state": status.state,
        "resource": status.pipeline_job_resource_name,
        "task": status.pipeline_task_name,
        "code": status.error_code,
        "message": status.error_message,
        "note": note,
    }


@dsl.pipeline(name="handled")
def handled(fails: bool):
    with dsl.ExitHandler(hear(note="the end")):
        with dsl.If(fails == True):  # noqa: E712
            fail(text="on purpose")
        with dsl.Else():
            say(text="fine")


@checks(handled, "FAILED", "handled-failure", fails=True)
def _(run: Ended) -> None:
    told = run.output("/hear")
    assert (told["state"], told["task"], told["note"]) == ("FAILED", "exit-handler-1", "the end")
    assert run.message["run_id"] in told["resource"] or "handled" in told["resource"]
    assert "on purpose" in told["message"]
    assert run.states("/exit-handler-1", "/hear") == ["FAILED", "SUCCEEDED"]
    assert "on purpose" in run.error
    assert run.times("/exit-handler-1")[1] <= run.times("/hear")[0]


@checks(handled, fails=False)
def _(run: Ended) -> None:
    told = run.output("/hear")
    assert (told["state"], told["task"], told["message"]) == ("SUCCEEDED", "exit-handler-1", None)


@dsl.pipeline(name="tidy-up")
def tidy_up(text: str) -> str:
    first = say(text=text)
    return say(text=f"{first.output} is tidied up").output


@dsl.pipeline(name="many-handlers")
def many_handlers(place: str = "attic"):
    before = say(text="before")
    with dsl.ExitHandler(tidy_up(text=place), name="first"):
        fail().after(before)
    with dsl.ExitHandler(say(text="second is over"), name="second"):
        say(text="second")


@checks(many_handlers, "FAILED")
def _(run: Ended) -> None:
    assert run.output("/tidy-up/say-2") == "attic is tidied up"
    handlers = sorted(path for path in run.tasks if path.count("/") == 1 and "exit-handler" in path)
    assert run.states(*handlers) == ["FAILED", "SUCCEEDED"]
    assert "second is over" in [run.inputs(path).get("text") for path in run.tasks if run.tasks[path].get("pods")]


@component
def fails_to_tidy():
    raise ValueError("the exit task fails")


@dsl.pipeline(name="exit-fails")
def exit_fails():
    with dsl.ExitHandler(fails_to_tidy()):
        say(text="fine")


@checks(exit_fails, "FAILED")
def _(run: Ended) -> None:
    assert run.states("/exit-handler-1", "/fails-to-tidy") == ["SUCCEEDED", "FAILED"]
    assert "the exit task fails" in run.error


@component
def slow(text: str) -> str:
    import time

    time.sleep(1.1)
    return text


@dsl.pipeline(name="handlers-in-order")
def handlers_in_order():
    with dsl.ExitHandler(say(text="first is over")) as first:
        slow(text="first")
    with dsl.ExitHandler(say(text="second is over")):
        say(text="second").after(first)
    say(text="third").after(first)


@checks(handlers_in_order)
def _(run: Ended) -> None:
    first, second = sorted(path for path in run.tasks if path.count("/") == 1 and "exit-handler" in path)
    assert run.times(first)[1] <= run.times(second)[0]
    third = next(path for path in run.tasks if path.count("/") == 1 and run.inputs(path).get("text") == "third")
    assert run.times(first)[1] <= run.times(third)[0]


@component
def default_of(text: str = "the default") -> str:
    return text


@dsl.pipeline(name="ignored")
def ignored():
    broken = fail()
    default_of(text=broken.output).ignore_upstream_failure()
    say(text="after all").after(broken).ignore_upstream_failure()
    say(text="never").after(broken)


@checks(ignored, "FAILED")
def _(run: Ended) -> None:
    assert run.output("/default-of") == "the default"
    assert run.states("/say", "/say-2") == ["SUCCEEDED", "SKIPPED"]
    assert "no way" in run.error


@dsl.pipeline(name="tried-again")
def tried_again(place: str) -> int:
    return flaky(place=place, times=2).set_retry(3, "1s", 2.0, "1s").output


@checks(tried_again, place="{shared}")
def _(run: Ended) -> None:
    assert run.output() == 3
    task = run.tasks["/flaky"]
    assert (task["attempt"], len(task["pods"])) == (2, 3)


@dsl.pipeline(name="tried-in-vain")
def tried_in_vain(place: str):
    flaky(place=place, times=9).set_retry(2, backoff_duration="0s")


@checks(tried_in_vain, "FAILED", place="{shared}")
def _(run: Ended) -> None:
    assert len(run.tasks["/flaky"]["pods"]) == 3
    assert "tried 3 times" in run.error


@dsl.pipeline(name="flaky-parts")
def flaky_parts(place: str) -> int:
    first = flaky(place=place, times=1, name="one")
    return flaky(place=place, times=first.output, name="two").output


@dsl.pipeline(name="retried-whole")
def retried_whole(place: str) -> int:
    return flaky_parts(place=place).set_retry(2, backoff_duration="0s").output


@checks(retried_whole, place="{shared}")
def _(run: Ended) -> None:
    """A retry of a pipeline in a pipeline is handed down to its steps."""
    assert run.output() == 3
    assert (len(run.tasks["/flaky-parts/flaky"]["pods"]), len(run.tasks["/flaky-parts/flaky-2"]["pods"])) == (2, 3)


@dsl.pipeline(name="retried-in-a-loop")
def retried_in_a_loop(place: str, names: List[str] = ["a", "b"]):
    with dsl.ParallelFor(names) as name:
        flaky(place=place, times=1, name=name).set_retry(1, backoff_duration="0s")


@checks(retried_in_a_loop, place="{shared}")
def _(run: Ended) -> None:
    assert run.all("/flaky") == [2, 2]


@component
def wait_for(place: str, name: str) -> str:
    import os
    import time

    until = time.monotonic() + 90
    while not os.path.exists(f"{place}/{name}"):
        assert time.monotonic() < until, f"waited for {name} in vain"
        time.sleep(0.02)
    return name


@component
def touch(place: str, name: str):
    open(f"{place}/{name}", "w").close()


@dsl.pipeline(name="fails-fast")
def fails_fast(place: str):
    """What runs when another fails goes on to its end; nothing new begins in the same DAG but what ignores failures."""
    running = wait_for(place=place, name="the failure was seen")
    failing = fail()
    touch(place=place, name="the failure was seen").after(failing).ignore_upstream_failure()
    say(text="never").after(running)


@checks(fails_fast, "FAILED", place="{shared}")
def _(run: Ended) -> None:
    states = run.states("/wait-for", "/fail", "/touch", "/say")
    assert states == ["SUCCEEDED", "FAILED", "SUCCEEDED", "SKIPPED"]


@dsl.pipeline(name="chain")
def chain():
    first = say(text="1")
    second = slow(text="2").after(first)
    with dsl.ParallelFor([1, 2]):
        say(text="3").after(second)
    third = tidy_up(text="4").after(first)
    say(text="5").after(second, third)


@checks(chain)
def _(run: Ended) -> None:
    assert all(task["state"] == "SUCCEEDED" for task in run.tasks.values())
    loops = [path for path in run.tasks if "for-loop" in path]
    assert all(run.times("/slow")[1] <= run.times(path)[0] for path in loops if "[" in path)
    last = next(path for path in run.tasks if path.count("/") == 1 and run.inputs(path).get("text") == "5")
    assert run.times("/tidy-up")[1] <= run.times(last)[0]
