"""Volumes: contents as tables, escapes refused, directories on a real disk."""

import base64
from functools import partial

import pytest

from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.environment import ConfigError
from beamhall.embedded.agent.projections import Contents, File, TokenSpec, VolumeError, contents_needed, files_of
from beamhall.embedded.agent.publishing import publish
from beamhall.embedded.agent.sandbox.child.inside import open_within
from beamhall.embedded.agent.storage import Limits, overgrown, size_limits
from beamhall.embedded.agent.volumes import (
    Roots,
    make_volume,
    memory_root,
    mounts_of,
    remove_memory,
    sweep_memory,
    volume_path,
)
from beamhall.kernel.kinds import CONFIG_MAP, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, SECRET

MAP = {"kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\xff").decode()}}
KEY = {"kind": "Secret", "data": {"k": base64.b64encode(b"s3").decode()}}


def bound(claim, *, uid="c", **source):
    """Give a claim and the volume that it is bound to."""
    volume = {"metadata": {"name": f"v-{claim}"}, "spec": {"claimRef": {"uid": uid}, **source}}
    return {
        (PERSISTENT_VOLUME_CLAIM, claim): {"metadata": {"uid": "c"}, "spec": {"volumeName": f"v-{claim}"}},
        (PERSISTENT_VOLUME, f"v-{claim}"): volume,
    }


CONTENTS = Contents(
    {
        (CONFIG_MAP, "m"): MAP,
        (SECRET, "s"): KEY,
        (CONFIG_MAP, "no"): None,
        (PERSISTENT_VOLUME_CLAIM, "unbound"): {"spec": {}},
        **bound("stolen", uid="another's", hostPath={"path": "claims/other/data"}),
        **bound("outside", hostPath={"path": "claims/../tls"}),
        **bound("host", hostPath={"path": "/etc"}),
        **bound("nfs", nfs={"server": "x"}),
    },
    {TokenSpec("", 3600): "t0", TokenSpec("vault", 600): "t1"},
    {"status.podIP": "127.1.1.1"},
)


def pod(*volumes, mounts=()):
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "uid-1", "labels": {"l": "x"}},
        "spec": {"volumes": list(volumes), "containers": [{"name": "c", "volumeMounts": list(mounts)}]},
    }


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"configMap": {"name": "m"}}, [("a", b"1", 0o644), ("b", b"2", 0o644), ("c", b"\xff", 0o644)]),
        (
            {"configMap": {"name": "m", "defaultMode": 0o400, "items": [{"key": "a", "path": "d/x"}]}},
            [("d/x", b"1", 0o400)],
        ),
        ({"secret": {"secretName": "s"}}, [("k", b"s3", 0o600)]),
        ({"secret": {"secretName": "s", "items": [{"key": "k", "path": "k", "mode": 0o440}]}}, [("k", b"s3", 0o440)]),
        ({"configMap": {"name": "no", "optional": True}}, []),
        (
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            [("l", b'l="x"', 0o644)],
        ),
        (
            {
                "projected": {
                    "sources": [
                        {"configMap": {"name": "m", "items": [{"key": "a", "path": "x"}]}},
                        {"secret": {"name": "s", "items": [{"key": "k", "path": "y"}]}},
                        {"downwardAPI": {"items": [{"path": "z", "fieldRef": {"fieldPath": "status.podIP"}}]}},
                        {"serviceAccountToken": {"path": "token"}},
                        {"serviceAccountToken": {"path": "v", "audience": "vault", "expirationSeconds": 600}},
                    ]
                }
            },
            [
                ("x", b"1", 0o644),
                ("y", b"s3", 0o644),
                ("z", b"127.1.1.1", 0o644),
                ("token", b"t0", 0o644),
                ("v", b"t1", 0o644),
            ],
        ),
    ],
)
def test_files_of(volume, expected):
    volume = {"name": "v"} | volume
    assert [(f.path, f.content, f.mode) for f in files_of(pod(volume), volume, CONTENTS)] == expected


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "gone"}}, 'secret "gone" not found'),
        ({"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}, "references non-existent key: z"),
        ({"configMap": {"name": "m", "items": [{"key": "a", "path": "../z"}]}}, 'must be relative and without ".."'),
        ({"persistentVolumeClaim": {"claimName": "data"}}, 'persistentvolumeclaim "data" not found'),
        ({"persistentVolumeClaim": {"claimName": "unbound"}}, 'persistentvolumeclaim "unbound" is not bound'),
        ({"persistentVolumeClaim": {"claimName": "stolen"}}, 'persistentvolumeclaim "stolen" is not bound'),
        ({"persistentVolumeClaim": {"claimName": "outside"}}, "lies outside of this service's volumes"),
        ({"persistentVolumeClaim": {"claimName": "host"}}, "is a hostPath, which is not allowed on this node"),
        ({"persistentVolumeClaim": {"claimName": "nfs"}}, "is no directory"),
        ({"hostPath": {"path": "/etc"}}, "hostPath is not allowed"),
        ({"nfs": {"server": "x"}}, "nfs is not supported on this node; use one of: emptyDir"),
    ],
)
def test_what_cannot_be_made_says_why(tmp_path, volume, message):
    volume = {"name": "v"} | volume
    with pytest.raises(VolumeError, match=message):
        make_volume(pod(volume), volume, PodDirectory(tmp_path, "uid-1"), Roots(tmp_path / "claims", False), CONTENTS)


def test_what_is_needed():
    volumes = (
        {"name": "a", "configMap": {"name": "m"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "s"}}]}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "d"}},
        {"name": "d", "emptyDir": {}},
    )
    assert contents_needed(pod(*volumes), volumes) == {(CONFIG_MAP, "m"), (SECRET, "s"), (PERSISTENT_VOLUME_CLAIM, "d")}


def test_made_volumes_stand_on_disk(tmp_path):
    own, roots = PodDirectory(tmp_path / "pods", "uid-1"), Roots(tmp_path / "claims", True)
    contents = Contents({(SECRET, "s"): KEY, **bound("d", hostPath={"path": "claims/ns/d"})})
    volumes = (
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "d"}},
        {"name": "e", "emptyDir": {}},
        {"name": "m", "emptyDir": {"medium": "Memory"}},
        {"name": "h", "hostPath": {"path": str(tmp_path / "host"), "type": "DirectoryOrCreate"}},
    )
    for _ in range(2):  # the second time nothing is to be done
        for volume in volumes:
            make_volume(pod(*volumes), volume, own, roots, contents)
    secret = own.volumes / "s" / "k"
    assert secret.read_bytes() == b"s3"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "claims/ns/d").is_dir()
    assert (own.volumes / "e").stat().st_mode & 0o777 == 0o777
    assert (memory_root("uid-1") / "m").stat().st_mode & 0o777 == 0o777
    assert memory_root("uid-1").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "host").is_dir()
    remove_memory("uid-1")
    assert not memory_root("uid-1").exists()


def mounted(tmp_path, variables=None, **mount):
    own, roots = PodDirectory(tmp_path / "pods", "uid-1"), Roots(tmp_path / "claims", False)
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "d"}}
    subject = pod(volume, mounts=[{"name": "v", "mountPath": "/data"} | mount])
    make_volume(subject, volume, own, roots, Contents(bound("d", hostPath={"path": "claims/ns/d"})))
    root = volume_path(subject, volume, own, roots)
    (entry,) = mounts_of(subject, subject["spec"]["containers"][0], own, roots, variables or {})
    return entry, root


def test_mounts(tmp_path):
    entry, root = mounted(tmp_path)
    assert (entry.source, entry.target, entry.read_only, entry.kind) == (root, "/data", False, "bind")
    assert entry.within is None
    entry, root = mounted(tmp_path, subPath="a/b", readOnly=True)
    assert (entry.source, entry.read_only, entry.within) == (root / "a/b", True, root)
    assert (root / "a/b").is_dir()
    entry, root = mounted(tmp_path, {"POD": "p-0"}, subPathExpr="$(POD)/x")
    assert entry.source == root / "p-0/x"


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"subPath": "../x"}, 'must be relative and without ".."'),
        ({"subPath": "/etc"}, "must be relative"),
        ({"subPath": "link/x"}, "leaves its volume"),
        ({"subPathExpr": "$(NO)"}, "uses a variable that is not set"),
        ({"mountPath": "data"}, "must be an absolute path"),
        ({"mountPath": "/a/../b"}, "must be an absolute path"),
        ({"mountPath": "/"}, "must be an absolute path"),
        ({"name": "other"}, "names no volume"),
    ],
)
def test_a_mount_may_not_leave_its_volume(tmp_path, mount, message):
    _, root = mounted(tmp_path)
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=message):
        mounted(tmp_path, **mount)
    assert not (tmp_path / "x").exists()


def test_a_link_that_is_put_there_later_is_not_followed(tmp_path):
    entry, root = mounted(tmp_path, subPath="a/b")
    (root / "a" / "b").rmdir()
    (tmp_path / "secret").mkdir()
    (root / "a" / "b").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="a link was put there"):
        open_within(str(entry.within), str(entry.source))
    (root / "a" / "b").unlink()
    (root / "a").rmdir()
    (root / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="a link was put there"):
        open_within(str(entry.within), str(entry.source), make=True)
    assert not list((tmp_path / "secret").iterdir())


def files(**contents):
    return [File(path.replace("__", "/"), content.encode(), 0o640) for path, content in contents.items()]


def shown(volume):
    return {str(p.relative_to(volume)): p.read_text() for p in volume.rglob("[!.]*") if p.is_file()}


def test_a_volume_changes_all_at_once(tmp_path):
    volume = tmp_path / "v"
    assert publish(volume, files(a="1", d__x="2", d__y="3"))
    assert not publish(volume, files(a="1", d__x="2", d__y="3"))
    assert (volume / "d" / "x").read_text() == "2"
    assert (volume / "a").stat().st_mode & 0o777 == 0o640
    held = (volume / "..data").resolve()
    assert publish(volume, files(a="4", b="5"))
    assert {p.name: p.read_text() for p in volume.iterdir() if not p.name.startswith("..")} == {"a": "4", "b": "5"}
    assert not held.exists()
    assert len([p for p in volume.iterdir() if p.name.startswith("..20")]) == 1
    assert publish(volume, [])
    assert not [p for p in volume.iterdir() if not p.name.startswith("..")]


def test_what_emptydirs_hold_is_held_against_their_limits(tmp_path):
    own, roots = PodDirectory(tmp_path, "uid-1"), Roots(tmp_path / "claims", False)
    subject = pod({"name": "e", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "free", "emptyDir": {}})
    for volume in subject["spec"]["volumes"]:
        make_volume(subject, volume, own, roots, CONTENTS)
    limits = size_limits(subject)
    assert limits == Limits({"e": "1Mi"})
    (own.volumes / "free" / "big").write_bytes(b"x" * (2 << 20))
    (own.volumes / "e" / "small").write_bytes(b"x" * 5000)
    (own.volumes / "e" / "link").symlink_to(own.volumes / "free" / "big")
    (own.volumes / "e" / "hard").hardlink_to(own.volumes / "e" / "small")
    assert overgrown(subject, own, roots, limits) == ""
    (own.volumes / "e" / "deep").mkdir()
    (own.volumes / "e" / "deep" / "big").write_bytes(b"x" * (2 << 20))
    assert overgrown(subject, own, roots, limits) == 'Usage of EmptyDir volume "e" exceeds the limit "1Mi". '


TOO_MUCH = 'Container c0 exceeded its local ephemeral storage limit "1Mi". '
STORAGE = {
    "nothing": ([None], {}, Limits(), ""),
    "within": (["1Mi"], {"c0/0/log": 5000}, Limits({}, {"c0": "1Mi"}, 1 << 20), ""),
    "logs": (["1Mi", None], {"c0/0/log": 2 << 20}, Limits({}, {"c0": "1Mi"}), TOO_MUCH),
    "scratch": (["1Mi", None], {".tmp-c0/x": 2 << 20}, Limits({}, {"c0": "1Mi"}), TOO_MUCH),
    "others'": (["1Mi", None], {".tmp-c1/x": 2 << 20}, Limits({}, {"c0": "1Mi"}), ""),
    "together": (
        ["1Mi", "1Mi"], {".volumes/e/x": 3 << 20}, Limits({}, {"c0": "1Mi", "c1": "1Mi"}, 2 << 20),
        "Pod ephemeral local storage usage exceeds the total limit of containers 2097152. ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STORAGE.values(), ids=STORAGE)
def test_storage_of_containers_is_held_against_their_limits(tmp_path, case):
    amounts, held, limits, message = case
    own, roots = PodDirectory(tmp_path, "uid-1"), Roots(tmp_path / "claims", False)
    subject = pod({"name": "e", "emptyDir": {}})
    subject["spec"]["containers"] = [
        {"name": f"c{number}"} | ({"resources": {"limits": {"ephemeral-storage": amount}}} if amount else {})
        for number, amount in enumerate(amounts)
    ]
    for path, size in held.items():
        (own.path / path).parent.mkdir(parents=True)
        (own.path / path).write_bytes(b"x" * size)
    assert size_limits(subject) == limits
    assert bool(limits) == any(amounts)
    assert overgrown(subject, own, roots, limits) == message


def test_volumes_made_from_objects_are_read_only(tmp_path):
    volume = {"name": "v", "configMap": {"name": "m"}}
    subject = pod(volume, mounts=[{"name": "v", "mountPath": "/etc/x", "subPath": "a"}])
    own, roots = PodDirectory(tmp_path, "uid-1"), Roots(tmp_path / "claims", False)
    make_volume(subject, volume, own, roots, CONTENTS)
    (entry,) = mounts_of(subject, subject["spec"]["containers"][0], own, roots, {})
    assert (entry.source, entry.read_only) == ((own.volumes / "v" / "a").resolve(), True)
    assert [path.name for path in own.volumes.iterdir()] == ["v"]


def test_what_is_in_memory_goes_when_the_pods_directory_is_gone(tmp_path, request):
    volume, roots = {"name": "m", "emptyDir": {"medium": "Memory"}}, Roots(tmp_path / "claims", False)
    here, gone, elsewhere = owns = [PodDirectory(tmp_path, f"{name}-{tmp_path.name}") for name in ("h", "g", "e")]
    for own in owns:
        own.path.mkdir()
        request.addfinalizer(partial(remove_memory, own.uid))
        make_volume(pod(volume), volume, own, roots, CONTENTS)
    gone.path.rmdir()
    elsewhere.path.rmdir()
    mark = memory_root(elsewhere.uid) / ".pod"
    mark.unlink()
    mark.symlink_to(f"mnt:[1]:{elsewhere.path}")  # a service in another container, which shares the memory
    sweep_memory()
    assert [memory_root(own.uid).exists() for own in (here, gone, elsewhere)] == [True, False, True]


def test_tokens_are_in_memory_and_only_the_services_user_comes_to_them(tmp_path, request):
    token = {"serviceAccountToken": {"path": "token"}}
    volume = {"name": "v", "projected": {"sources": [{"configMap": {"name": "m"}}, token]}}
    plain = {"name": "w", "projected": {"sources": [{"configMap": {"name": "m"}}]}}
    own, roots = PodDirectory(tmp_path, f"uid-{tmp_path.name}"), Roots(tmp_path / "claims", False)
    request.addfinalizer(lambda: remove_memory(own.uid))
    for one in (volume, plain):
        make_volume(pod(one), one, own, roots, CONTENTS)
    place = volume_path(pod(volume), volume, own, roots)
    assert place.parent == memory_root(own.uid)
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert (place / "token").read_text() == "t0"
    assert (place / "a").read_text() == "1"
    assert volume_path(pod(plain), plain, own, roots) == own.volumes / "w"
    remove_memory(own.uid)
    assert not place.exists()
