"""How programs in Pods reach the API where nothing can be mounted, and past proxies."""

import json
from pathlib import Path

from beamhall.embedded.agent.api_access import without_access
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.environment import Place, Sources, complete_variables, user_variables
from beamhall.embedded.agent.sandbox import Mount
from beamhall.kernel.identity import SERVICE_ACCOUNT_DIRECTORY
from beamhall.kernel.objects import Object

API: Object = {
    "metadata": {"name": "kubernetes", "namespace": "default"},
    "spec": {"clusterIP": "127.96.1.2", "ports": [{"name": "https", "port": 443, "targetPort": 40000}]},
}
VARIABLES = {"KUBERNETES_SERVICE_HOST": "127.96.1.2", "KUBERNETES_SERVICE_PORT": "443"}


def place(**passed: str) -> Place:
    return Place("", {}, (), "/home", "/tmp", "p", 1, (), passed)


def test_without_mounts_a_kubeconfig_says_where_the_token_is(tmp_path: Path) -> None:
    own = PodDirectory(tmp_path, "uid-1")
    own.path.mkdir()
    token, data = Mount(source=tmp_path / "v", target=SERVICE_ACCOUNT_DIRECTORY), Mount(source=tmp_path, target="/data")
    variables = dict(VARIABLES)
    assert without_access(own, [token, data], variables, "lab") == [data]
    config = json.loads(Path(variables["KUBECONFIG"]).read_text())
    assert config["clusters"][0]["cluster"] == {
        "server": "https://127.96.1.2:443", "certificate-authority": str(tmp_path / "v" / "ca.crt"),
    }  # fmt: skip
    assert config["users"][0]["user"] == {"tokenFile": str(tmp_path / "v" / "token")}
    assert config["contexts"][0]["context"]["namespace"] == "lab"


def test_a_kubeconfig_of_the_containers_own_stays(tmp_path: Path) -> None:
    own = PodDirectory(tmp_path, "uid-1")
    token = Mount(source=tmp_path / "v", target=SERVICE_ACCOUNT_DIRECTORY)
    variables = {**VARIABLES, "KUBECONFIG": "/mine"}
    assert without_access(own, [token], variables, "lab") == []
    assert variables["KUBECONFIG"] == "/mine"


def test_every_pod_is_told_of_the_api() -> None:
    for spec in ({}, {"enableServiceLinks": False}):
        variables = user_variables({"spec": spec}, {"name": "c"}, Sources(api=API))
        assert variables["KUBERNETES_SERVICE_HOST"] == "127.96.1.2"
        assert variables["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"


def test_the_api_is_reached_past_a_proxy() -> None:
    own = "127.96.1.2,.svc,.cluster.local"
    through = complete_variables(place(HTTPS_PROXY="http://proxy:1", no_proxy="lab.example.org"), VARIABLES)
    assert (through["NO_PROXY"], through["no_proxy"]) == (own, f"lab.example.org,{own}")
    assert "NO_PROXY" not in complete_variables(place(), VARIABLES)
    assert "NO_PROXY" not in complete_variables(place(HTTPS_PROXY="http://proxy:1"), {})
    stated = complete_variables(place(HTTPS_PROXY="http://proxy:1"), {**VARIABLES, "NO_PROXY": "mine"})
    assert stated["NO_PROXY"] == "mine"
