"""Variables and command lines, as tables."""

import pytest

from beamhall.embedded.agent.environment import (
    ConfigError,
    Place,
    Sources,
    command_line,
    complete_variables,
    cpu_count,
    expand,
    field_value,
    references,
    resource_value,
    service_variables,
    user_variables,
)

POD = {
    "metadata": {
        "name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "a", "b": 'q"'}, "annotations": {"n/x": "1"},
    },
    "spec": {"nodeName": "node", "serviceAccountName": "sa"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)$(B)y", "x12y"),
        ("$(NO)", "$(NO)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("end$", "end$"),
        ("$$", "$"),
    ],
)
def test_expand(text, expected):
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_variables_of_services():
    def service(name, address, *ports):
        return {"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": list(ports)}}

    found = service_variables([
        service("my-db", "10.0.0.1", {"port": 80, "name": "web-in"}, {"port": 53, "protocol": "UDP"}),
        service("headless", "None", {"port": 80}),
        service("unnumbered", "", {"port": 80}),
    ])  # fmt: skip
    assert found == {
        "MY_DB_SERVICE_HOST": "10.0.0.1",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_WEB_IN": "80",
        "MY_DB_PORT": "tcp://10.0.0.1:80",
        "MY_DB_PORT_80_TCP": "tcp://10.0.0.1:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.0.0.1",
        "MY_DB_PORT_53_UDP": "udp://10.0.0.1:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.0.0.1",
    }


def test_variables_from_everywhere():
    container = {
        "name": "c",
        "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "1Gi"}},
        "envFrom": [
            {"configMapRef": {"name": "m"}, "prefix": "M_"},
            {"secretRef": {"name": "s"}},
            {"secretRef": {"name": "none", "optional": True}},
        ],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)$(M_k)$(LATER)"},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "D", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
            {"name": "F", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            {"name": "G", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}},
            {"name": "LATER", "value": "x"},
            {"name": "T"},
        ],
    }
    found = user_variables(POD, container, Sources({"m": {"k": "v"}}, {"s": {"T": "hidden", "S": "t"}}))
    assert found == {
        "M_k": "v", "T": "", "S": "t", "A": "1", "B": "1v$(LATER)", "C": "a", "D": "2", "E": "1024", "F": "v",
        "LATER": "x",
    }  # fmt: skip
    assert references(container) == (frozenset({"m"}), frozenset({"s", "none"}))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in secret s"),
        ({"fieldRef": {"fieldPath": "spec.containers"}}, "cannot be used in a fieldRef"),
        ({"resourceFieldRef": {"resource": "cpu"}}, "cannot be used in a resourceFieldRef"),
        ({"fileKeyRef": {}}, "not supported"),
    ],
)
def test_what_is_missing_is_named(entry, message):
    with pytest.raises(ConfigError, match=message):
        user_variables(POD, {"name": "c", "env": [{"name": "A", "valueFrom": entry}]}, Sources({}, {"s": {}}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u"),
        ("metadata.annotations['n/x']", "1"),
        ("metadata.labels['no']", ""),
        ("metadata.labels", 'app="a"\nb="q\\""'),
        ("spec.nodeName", "node"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.64.0.1"),
    ],
)
def test_field_value(path, value):
    assert field_value(POD, path, {"status.podIP": "127.64.0.1"}) == value


def test_a_limit_that_is_unset_is_what_the_node_has():
    assert resource_value({}, {"resource": "limits.cpu"}, {"cpu": "8"}) == "8"
    assert resource_value({}, {"resource": "requests.cpu"}, {"cpu": "8"}) == "0"
    assert resource_value({}, {"resource": "limits.cpu", "divisor": "1m"}, {"cpu": "8"}) == "8000"


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        ({}, 4),
        ({"requests": {"cpu": "100m"}}, 1),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "2500m"}}, 2),
        ({"limits": {"cpu": "64"}}, 4),
    ],
)
def test_cpu_count(resources, threads):
    assert cpu_count({"resources": resources}, 4) == threads


def place(**changes):
    fields = {
        "bin": "/env/bin", "image_env": {"A": "image", "HOME": "/image"}, "image_path": ("/code",), "home": "/h",
        "tmp": "/t", "hostname": "p", "threads": 2, "gpus": (), "passed": {"https_proxy": "x", "A": "host"},
    }  # fmt: skip
    return Place(**(fields | changes))  # type: ignore[arg-type]


def test_a_program_gets_a_path_a_home_and_no_gpu_it_did_not_ask_for():
    found = complete_variables(place(), {"B": "user"})
    assert found["PATH"].startswith("/env/bin:/usr/local")
    assert (found["A"], found["B"], found["HOME"], found["TMPDIR"]) == ("image", "user", "/image", "/t")
    assert (found["CUDA_VISIBLE_DEVICES"], found["OMP_NUM_THREADS"], found["https_proxy"]) == ("", "2", "x")
    assert found["PYTHONPATH"] == "/code"


def test_a_program_is_told_how_many_threads_to_use_in_the_words_of_its_library():
    found = complete_variables(place(threads=3), {})
    names = ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "POLARS_MAX_THREADS", "TF_NUM_INTRAOP_THREADS")
    assert [found[name] for name in names] == ["3"] * 4
    assert complete_variables(place(threads=3), {"LOKY_MAX_CPU_COUNT": "1"})["LOKY_MAX_CPU_COUNT"] == "1"


def test_users_win_but_not_over_the_gpus_that_were_given():
    found = complete_variables(
        place(gpus=("1", "3")), {"OMP_NUM_THREADS": "7", "CUDA_VISIBLE_DEVICES": "0", "PYTHONPATH": "/mine", "A": "u"}
    )
    assert (found["OMP_NUM_THREADS"], found["CUDA_VISIBLE_DEVICES"], found["A"]) == ("7", "1,3", "u")
    assert found["PYTHONPATH"] == "/mine:/code"


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({}, ["entry", "default"]),
        ({"args": ["$(A)"]}, ["entry", "1"]),
        ({"command": ["run"]}, ["run"]),
        ({"command": ["run"], "args": ["x"]}, ["run", "x"]),
    ],
)
def test_command_line(container, expected):
    assert list(command_line({"name": "c"} | container, {"A": "1"}, ["entry"], ["default"])) == expected


@pytest.mark.parametrize(("args", "what"), [([], "no command"), (["--epochs=3"], "only arguments")])
def test_nothing_to_run_is_an_error_that_says_what_to_set(args, what):
    with pytest.raises(ConfigError, match=rf"has {what}, .*set spec.containers\[\].command, or .* --entrypoint"):
        command_line({"name": "c", "image": "i", "args": args}, {}, [], [])
