"""Which command lines of pipelines' steps are read, and what comes of them."""

from pathlib import Path

import pytest
import yaml

from beamhall.catalog.installs import Install
from beamhall.embedded.agent.components import Component, recognise, with_interpreter
from beamhall.embedded.agent.sandbox import FILE, Direct

ENSURE = """
if ! [ -x "$(command -v pip)" ]; then
    python3 -m ensurepip || python3 -m ensurepip --user || apt-get install python3-pip
fi

PIP_DISABLE_PIP_VERSION_CHECK=1 """
GO_ON = ' && "$0" "$@"\n'
PIP = "python3 -m pip install --quiet --no-warn-script-location "
KFP = PIP + "'kfp==2.17.0' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<\"3.9\"'"
VENV = """
export PIP_DISABLE_PIP_VERSION_CHECK=1
tmp=$(mktemp -d)
python3 -m venv "$tmp/venv" --system-site-packages
. "$tmp/venv/bin/activate"
"""
ALONE = Install(("kfp==2.17.0", 'typing-extensions>=3.7.4,<5; python_version<"3.9"'), is_alone=True)
PROGRAM = """program_path=$(mktemp -d)

printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         --component_module_path\
                         "$program_path/ephemeral_component.py"                         "$@"
"""
BETA = """program_path=$(mktemp -d)
printf "%s" "$0" > "$program_path/ephemeral_component.py"
python3 -m kfp.components.executor_main                         --component_module_path\
                         "$program_path/ephemeral_component.py"                         "$@"
"""
RUN = ("sh", "-ec", PROGRAM, "source", "--executor_input", "{}", "--function_to_execute", "f")


def direct(module: str = "kfp.dsl.executor_main", env: dict[str, str] | None = None) -> Direct:
    argv = ("python3", "-m", module, "--component_module_path", FILE, *RUN[4:])
    return Direct(argv, {"_KFP_RUNTIME": "true"} if env is None else env, "ephemeral_component.py", "source")


@pytest.mark.parametrize(
    ("script", "installs"),
    [
        (ENSURE + KFP + GO_ON, [ALONE]),
        (ENSURE + PIP + "'minio' \"x; python_version>'3'\"  &&  " + KFP + GO_ON,
         [Install(("minio", "x; python_version>'3'")), ALONE]),
        (ENSURE + KFP + "  &&  " + PIP + "'minio'" + GO_ON, [ALONE, Install(("minio",))]),
        (ENSURE + PIP.replace("--quiet ", "--quiet     ") + "'kfp==2.0.0-beta.16'" + GO_ON,
         [Install(("kfp==2.0.0-beta.16",))]),
        (ENSURE + PIP + "--index-url https://a/s --extra-index-url http://b --trusted-host b 'c'" + GO_ON,
         [Install(("c",), index_urls=("https://a/s", "http://b"), trusted_hosts=("b",))]),
        (ENSURE + VENV + " " + KFP + GO_ON, [ALONE]),
        (ENSURE + PIP + "'a'  &&  " + VENV + " " + KFP + GO_ON, [Install(("a",)), ALONE]),
        (f"(PIP_DISABLE_PIP_VERSION_CHECK=1 {PIP}'a==1' || PIP_DISABLE_PIP_VERSION_CHECK=1 {PIP}'a==1' --user)" + GO_ON,
         [Install(("a==1",))]),
        (ENSURE + PIP + "'git+https://h/kfp.git@x#subdirectory=sdk'" + GO_ON,
         [Install(("git+https://h/kfp.git@x#subdirectory=sdk",))]),
        ("pip install a b" + GO_ON, [Install(("a", "b"))]),
    ],
)  # fmt: skip
def test_what_the_sdk_writes_is_read(script, installs):
    assert recognise(["sh", "-c", script, *RUN]) == Component(tuple(installs), RUN, direct())
    other = ("python3", "-u", "-c", "print()", "--x", "1")
    assert recognise(["sh", "-c", script, *other]) == Component(tuple(installs), other)


@pytest.mark.parametrize(
    "script",
    [
        KFP, KFP + ' && "$0"', KFP + "; true" + GO_ON, KFP + "\n" + GO_ON + "true", "set -x\n" + KFP + GO_ON,
        PIP + "$(evil)" + GO_ON, PIP + '"$X"' + GO_ON, PIP + "a`b`" + GO_ON, PIP + "a*" + GO_ON, PIP + "'a''b'" + GO_ON,
        PIP + "'a' > x" + GO_ON, PIP + "'a' & " + GO_ON, PIP + "'./a'" + GO_ON, PIP + "'-r' 'a.txt'" + GO_ON,
        PIP + "'--target' '/x' 'a'" + GO_ON, PIP + "'--upgrade' 'a'" + GO_ON, PIP + GO_ON, "X=1 " + KFP + GO_ON,
        PIP + "--index-url" + GO_ON, PIP + "'a' --extra-index-url u" + GO_ON, PIP + "'a\nb'" + GO_ON, GO_ON, "",
        "apt-get install x && " + KFP + GO_ON, KFP + " || true" + GO_ON, PIP + "'a' \\\n 'b'" + GO_ON,
        "'python3' -m pip install a" + GO_ON, "(" + KFP + " || " + PIP + "'b' --user)" + GO_ON,
        KFP + "\npip install b" + GO_ON, ENSURE + ENSURE + KFP + GO_ON, PIP + "--index-url --quiet a" + GO_ON,
    ],
)  # fmt: skip
def test_what_differs_in_anything_runs_as_it_is_written(script):
    argv = ("sh", "-c", script, *RUN)
    assert recognise(argv) == Component((), argv)


def test_what_only_runs_a_component_needs_nothing_installed():
    assert recognise(RUN) == Component((), RUN, direct())
    beta = ("sh", "-ec", BETA, *RUN[3:])
    assert recognise(beta) == Component((), beta, direct("kfp.components.executor_main", {}))
    assert recognise(beta).modules == ("kfp.components.executor_main",)
    contained = ("python3", "-m", "kfp.dsl.executor_main", *RUN[4:])
    assert recognise(contained) == Component((), contained)
    assert recognise(contained).modules == ("kfp.dsl.executor_main",)
    assert recognise(("python3", "-m", "json.tool")).modules == ()


@pytest.mark.parametrize(
    "argv",
    [
        ("sh", "-c", PROGRAM, "source"), ("bash", "-ec", PROGRAM, "source"), ("sh", "-ec", PROGRAM),
        ("sh", "-ec", PROGRAM + "echo done", "source"), ("sh", "-ec", "set -x\n" + PROGRAM, "source"),
        ("sh", "-ec", PROGRAM.replace("kfp.dsl.", "kfp.dsl.my_"), "source"), (), ("sh",), ("sh", "-c", KFP + GO_ON),
    ],
)  # fmt: skip
def test_other_programs_are_no_components(argv):
    assert recognise(argv) == Component((), argv)


PLACES = [parent / "shared" / "corpus" / "kfp" for parent in Path(__file__).parents]
CORPUS = next((place for place in PLACES if place.is_dir()), PLACES[0])


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_every_component_of_the_corpus_is_recognised():
    seen = 0
    for file in sorted(CORPUS.rglob("*.yaml")):
        if "invalid" in file.parts:
            continue
        for document in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
            for executor in (document or {}).get("deploymentSpec", {}).get("executors", {}).values():
                container = executor.get("container") or {}
                argv = [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]
                component = recognise(argv)
                seen += bool(component.modules)
                assert bool(component.installs) == ("pip install" in " ".join(argv[:3])), (file, argv[:3])
                assert bool(component.modules) == any("executor_main" in word for word in argv[:6]), (file, argv[:6])
    assert seen > 200


def test_the_launcher_may_come_before_anything():
    words = ("beamhall-launcher", "--", "sh", "-c", ENSURE + KFP + GO_ON, *RUN)
    assert recognise(words) == Component((ALONE,), ("beamhall-launcher", "--", *RUN))
    assert recognise(("beamhall-launcher", "--", "x")) == Component((), ("beamhall-launcher", "--", "x"))
    started = with_interpreter(("beamhall-launcher", "--", "x"), "/service/python")
    assert started == ("/service/python", "-I", "-m", "beamhall.launcher", "--", "x")
    started = with_interpreter(("beamhall-initializer", "model", "/m"), "/service/python")
    assert started == ("/service/python", "-I", "-m", "beamhall.launcher.initializer", "model", "/m")
    for other in (("x",), ("x", "beamhall-launcher", "--"), ("beamhall-launcher",), ("x", "beamhall-initializer")):
        assert with_interpreter(other, "/service/python") == other
