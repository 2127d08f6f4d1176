"""Conditions and what comes of branches: If, Elif, Else, OneOf."""

from kfp import dsl

from tests.pipelines.cases import Ended, checks, component


@component
def say(text: str) -> str:
    return text


@component
def count(number: int) -> int:
    return number


@component
def half(number: int) -> float:
    return number / 2


@component
def truth(number: int) -> bool:
    return number > 0


@dsl.pipeline(name="comparisons")
def comparisons(number: int, ratio: float, flag: bool, text: str):
    with dsl.If(number == 3, "equal"):
        say(text="=").set_display_name("equal")
    with dsl.If(number != 3, "not-equal"):
        say(text="!=")
    with dsl.If(number < 4, "less"):
        say(text="<")
    with dsl.If(number <= 2, "at-most"):
        say(text="<=")
    with dsl.If(number > 2, "more"):
        say(text=">")
    with dsl.If(number >= 4, "at-least"):
        say(text=">=")
    with dsl.If(ratio > 2.25, "ratio"):
        say(text="ratio")
    with dsl.If(flag == True, "flag"):  # noqa: E712
        say(text="flag")
    with dsl.If(flag == False, "not-flag"):  # noqa: E712
        say(text="not flag")
    with dsl.If(text == "a b", "text"):
        say(text="text")
    with dsl.If(text != "a b", "not-text"):
        say(text="not text")


@checks(comparisons, number=3, ratio=2.5, flag=True, text="a b")
def _(run: Ended) -> None:
    held = {run.inputs(path)["text"] for path, task in run.tasks.items() if task.get("pods")}
    assert held == {"=", "<", ">", "ratio", "flag", "text"}
    skipped = [path for path, task in run.tasks.items() if path.count("/") == 1 and task["state"] == "SKIPPED"]
    assert len(skipped) == 5
    assert not any(path.startswith(f"{gone}/") for path in run.tasks for gone in skipped)


@checks(comparisons, "SUCCEEDED", "comparisons-otherwise", number=4, ratio=2, flag=False, text="it's")
def _(run: Ended) -> None:
    held = {run.inputs(path)["text"] for path, task in run.tasks.items() if task.get("pods")}
    assert held == {"!=", ">", ">=", "not flag", "not text"}


@dsl.pipeline(name="compared-outputs")
def compared_outputs(number: int, other: int):
    whole, part, flag = count(number=number), half(number=number), truth(number=number)
    with dsl.If(whole.output == other):
        say(text="same")
    with dsl.If(part.output >= 1.5):
        say(text="half")
    with dsl.If(flag.output == True):  # noqa: E712
        with dsl.If(number > other):
            say(text="nested")


@checks(compared_outputs, number=3, other=3)
def _(run: Ended) -> None:
    assert sorted(run.outputs(path)["Output"] for path in run.tasks if "/say" in path) == ["half", "same"]


@checks(compared_outputs, "SUCCEEDED", "compared-outputs-otherwise", number=2, other=1)
def _(run: Ended) -> None:
    assert [run.outputs(path)["Output"] for path in run.tasks if "/say" in path] == ["nested"]


@dsl.pipeline(name="one-of")
def one_of(number: int) -> str:
    with dsl.If(number == 1):
        first = say(text="one")
    with dsl.Elif(number == 2):
        second = say(text="two")
    with dsl.Elif(number == 2):
        third = say(text="never: an earlier branch holds")
    with dsl.Else():
        last = say(text="many")
    chosen = dsl.OneOf(first.output, second.output, third.output, last.output)
    return say(text=chosen).output


for _number, _word in ((1, "one"), (2, "two"), (3, "many")):

    @checks(one_of, "SUCCEEDED", f"one-of-{_word}", number=_number)
    def _(run: Ended, word: str = _word) -> None:
        assert run.output() == word
        assert run.state("/condition-branches-1") == "SUCCEEDED"
        branches = [run.state(f"/condition-branches-1/condition-{n}") for n in range(2, 6)]
        assert sorted(branches) == ["SKIPPED", "SKIPPED", "SKIPPED", "SUCCEEDED"]


@component
def write(text: str, into: dsl.Output[dsl.Dataset]):
    into.metadata["words"] = len(text.split())
    with open(into.path, "w") as file:
        file.write(text)


@component
def read(of: dsl.Input[dsl.Dataset]) -> str:
    return f"{open(of.path).read()} {of.metadata['words']}"


@dsl.pipeline(name="chosen")
def chosen(number: int) -> dsl.Dataset:
    with dsl.If(number == 1):
        first = write(text="one")
    with dsl.Else():
        with dsl.If(number == 2):
            write(text="unused")
        last = write(text="one or more")
    return dsl.OneOf(first.outputs["into"], last.outputs["into"])


@dsl.pipeline(name="one-of-artifacts")
def one_of_artifacts(number: int) -> str:
    return read(of=chosen(number=number).output).output


@checks(one_of_artifacts, "SUCCEEDED", "one-of-artifacts-first", number=1)
def _(run: Ended) -> None:
    assert run.output() == "one 1"
    (made,) = run.artifacts("/chosen", "Output")
    (used,) = run.artifacts("/read", "of", "inputs")
    assert made["artifact_id"] == used["artifact_id"]


@checks(one_of_artifacts, "SUCCEEDED", "one-of-artifacts-last", number=2)
def _(run: Ended) -> None:
    assert run.output() == "one or more 3"


@dsl.pipeline(name="perhaps")
def perhaps(number: int):
    with dsl.If(number == 1):
        say(text="inside")


@dsl.pipeline(name="after-a-branch")
def after_a_branch(number: int):
    inside = perhaps(number=number)
    say(text="waits for what holds the branch").after(inside)


@checks(after_a_branch, number=2)
def _(run: Ended) -> None:
    """A branch that is not taken fails nothing, and nothing that comes after is left out."""
    assert run.states("/perhaps/condition-1", "/perhaps", "/say") == ["SKIPPED", "SUCCEEDED", "SUCCEEDED"]


@checks(after_a_branch, "SUCCEEDED", "after-a-branch-taken", number=1)
def _(run: Ended) -> None:
    assert run.states("/perhaps/condition-1/say", "/perhaps/condition-1", "/say") == ["SUCCEEDED"] * 3
    assert run.times("/perhaps")[1] <= run.times("/say")[0]


@dsl.pipeline(name="words-in-quotes")
def words_in_quotes(word: str):
    with dsl.If(word == 'say "hi" \\ \t'):
        say(text="quoted")


@checks(words_in_quotes, word='say "hi" \\ \t')
def _(run: Ended) -> None:
    assert run.state("/condition-1") in ("SUCCEEDED", "SKIPPED"), "the SDK does not escape what it writes"
