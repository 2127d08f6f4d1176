"""Whatever is sent to the API over HTTP, the answer is an orderly one: a Status with a 4xx code, never a defect."""

import asyncio
import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from beamhall.embedded.api.factory import create_app, create_resource_api
from beamhall.embedded.store.store import Store
from tests.api_server import RealClock, WrittenLogs, as_admin

POD_SPEC: dict[str, Any] = {
    "containers": [
        {
            "name": "c",
            "image": "i",
            "command": ["a"],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        }
    ],
    "volumes": [{"name": "v", "emptyDir": {}}],
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "nodeSelector": {"a": "b"},
    "restartPolicy": "Never",
}
METADATA = {"labels": {"a": "b"}, "annotations": {"x": "y"}, "finalizers": ["a.b/c"]}
TOY_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["x"],
            "properties": {
                "x": {"type": "string", "enum": ["a"], "pattern": "^a", "default": "a"},
                "l": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "m": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
            },
        }
    },
}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = {
    "metadata": {"name": "toys.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Toy", "plural": "toys", "shortNames": ["t"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"},
                },
                "additionalPrinterColumns": [{"name": "N", "type": "date", "jsonPath": ".spec.a[0]"}],
                "schema": {"openAPIV3Schema": TOY_SCHEMA},
            }
        ],
    },
}
SAMPLES: dict[str, dict[str, Any]] = {
    DEFINITIONS: DEFINITION,
    "/api/v1/namespaces/default/pods": {"metadata": METADATA | {"name": "p"}, "spec": POD_SPEC},
    "/apis/batch/v1/namespaces/default/jobs": {
        "metadata": METADATA | {"name": "j"},
        "spec": {"template": {"spec": POD_SPEC}},
    },
    "/api/v1/namespaces/default/services": {
        "metadata": METADATA | {"name": "s"},
        "spec": {"ports": [{"port": 80, "targetPort": "x"}], "selector": {"a": "b"}},
    },
    "/api/v1/namespaces/default/configmaps": {"metadata": METADATA | {"name": "c"}, "data": {"a": "b"}},
    "/api/v1/namespaces": {"metadata": METADATA | {"name": "n"}, "spec": {"finalizers": ["x/y"]}},
    "/apis/example.org/v1/namespaces/default/toys": {
        "metadata": METADATA | {"name": "t"},
        "spec": {"x": "a", "l": [{"q": 1}], "m": {"a": 1}},
    },
}
JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "ü\u0000",
    "1Gi",
    [],
    [None],
    ["a"],
    {},
    {"a": None},
    [[]],
    [{}],
]
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json")
REQUESTS = int(os.environ.get("BEAMHALL_TEST_REQUESTS", "400"))
"""For each seed; the long run is 3,500."""

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value inside a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


def spoiled(random: Random, value: Any) -> Any:
    """Give a copy in which a few values have become something else, or are gone."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 2, 3))):
        path = random.choice([*places(value)] or [()])
        target = value
        for step in path[:-1]:
            target = target[step]
        if not path:
            return random.choice(JUNK)
        if random.random() < 0.8:
            target[path[-1]] = copy.deepcopy(random.choice(JUNK))
        else:
            del target[path[-1]]
    return value


async def send(http: httpx2.AsyncClient, random: Random) -> httpx2.Response:
    """Send one request that is probably wrong."""
    path = random.choice([*SAMPLES])
    name = SAMPLES[path]["metadata"]["name"]
    text = json.dumps(spoiled(random, SAMPLES[path]))
    plain = {"content-type": "application/json"}
    match random.randrange(8):
        case 0:
            return await http.post(path, content=text, headers=plain, params={"dryRun": "All"})
        case 1:
            validation = random.choice(("Strict", "Warn", "Ignore", "Other"))
            return await http.post(path, content=text, headers=plain, params={"fieldValidation": validation})
        case 2:
            return await http.put(f"{path}/{name}{random.choice(('', '/status'))}", content=text, headers=plain)
        case 3:
            patch = {"content-type": random.choice(PATCHES)}
            return await http.patch(f"{path}/{name}{random.choice(('', '/status'))}", content=text, headers=patch)
        case 4:
            pointer = random.choice(
                ("/spec", "/metadata/labels/a", "/spec/containers/0/image", "", "/", "x", "/metadata")
            )
            operation = {
                "op": random.choice(("add", "remove", "move", "x")),
                "path": pointer,
                "value": random.choice(JUNK),
            }
            return await http.patch(
                f"{path}/{name}", content=json.dumps([operation]), headers={"content-type": PATCHES[2]}
            )
        case 5:
            labels = random.choice(("a", "a=b", "a in (b", "=", "a,,b"))
            parameters = {
                "labelSelector": labels,
                "continue": random.choice(("", "x", "W10", "WyIiLCJhIiwxLDFd")),
                "limit": random.choice(("", "1", "-1", "x", "99999999999999999999")),
                "resourceVersion": random.choice(("", "0", "1", "-1", "99999", "9" * 40, "x")),
                "resourceVersionMatch": random.choice(("", "", "Exact", "NotOlderThan", "x")),
            }
            return await http.get(path, params=parameters, headers=TABLE)
        case 6:
            options = {random.choice(("gracePeriodSeconds", "preconditions", "dryRun")): random.choice(JUNK)}
            return await http.request("DELETE", f"{path}/gone", content=json.dumps(options), headers=plain)
        case _:
            media_type = random.choice(("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"))
            body = text[: random.randrange(len(text) + 1)]
            return await http.post(path, content=body, headers={"content-type": media_type})


@pytest.mark.parametrize("seed", range(3))
async def test_every_answer_is_orderly(seed, tmp_path: Path):
    random = Random(seed)
    store = await Store.open(tmp_path / "objects.db")
    api = create_resource_api(store, RealClock(), random)
    transport = httpx2.ASGITransport(app=as_admin(create_app(api, WrittenLogs())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as http, asyncio.TaskGroup() as parts:
        running = parts.create_task(api.run())
        while (await http.get("/api/v1/namespaces/kube-node-lease")).status_code != 200:
            await asyncio.sleep(0.001)
        for path, sample in SAMPLES.items():
            assert (await http.post(path, json=sample)).status_code == 201
        for _ in range(REQUESTS):
            answer = await send(http, random)
            is_orderly = answer.status_code < 500 or answer.json()["reason"] == "Timeout"  # of a future revision
            assert is_orderly, (answer.request.method, answer.request.url, answer.request.content)
            if answer.status_code >= 400:
                status = answer.json()
                assert (status["kind"], status["code"]) == ("Status", answer.status_code)
                assert status["message"]
        running.cancel()
    await store.close()
