"""Addresses without duplicates, and hosts files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.embedded.agent.network import Addresses, Names


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_no_two_pods_have_one_address(steps):
    addresses = Addresses("127.64.0.0/29")
    held: dict[str, str] = {}
    for is_given, number in steps:
        uid = f"u{number}"
        if is_given:
            address = addresses.of(uid)
            assert held.setdefault(uid, address) == address
        else:
            addresses.release(uid)
            held.pop(uid, None)
        assert len(set(held.values())) == len(held)


def test_what_was_given_before_is_not_given_again():
    addresses = Addresses("127.64.0.0/29")
    addresses.restore("old", "127.64.0.1")
    assert addresses.of("old") == "127.64.0.1"
    assert addresses.of("new") == "127.64.0.2"
    addresses.release("old")
    assert addresses.of("next") == "127.64.0.3"


def test_only_loopback_addresses_need_no_privilege():
    with pytest.raises(ValueError, match=r"127\.0\.0\.0/8"):
        Addresses("10.0.0.0/8")


def pod(name, namespace="ns", labels=None, phase="", **spec):
    meta = {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}", "labels": labels or {}}
    return {"metadata": meta, "spec": spec, "status": {"phase": phase}}


def service(name, namespace="ns", **selector):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector}}


def lines(names, namespace="ns"):
    text = names.file(namespace).read_text().splitlines()
    assert text[0] == "127.0.0.1 localhost"
    return [tuple(line.split("\t")) for line in text[2:]]


def test_names_of_services_and_pods(tmp_path):
    names = Names(tmp_path, "127.0.0.1 localhost\n")
    names.set_pod(pod("a-0", labels={"app": "a"}, hostname="a-0", subdomain="a"), "127.64.0.1")
    names.set_pod(pod("other"), "127.64.0.2")
    names.set_pod(pod("far", namespace="else", labels={"app": "a"}), "127.64.0.3")
    names.set_services([service("a", app="a"), service("a", namespace="else", app="a"), service("none")])
    qualified = "svc.cluster.local"
    assert lines(names) == [
        ("127.64.0.3", f"a.else.{qualified} a.else.svc a.else"),
        ("127.64.0.1", f"a.ns.{qualified} a.ns.svc a.ns a"),
        ("127.64.0.1", f"a-0.a.ns.{qualified} a-0.a.ns.svc a-0.a.ns a-0.a"),
        ("127.64.0.1", "a-0"),
        ("127.64.0.2", "other"),
    ]
    assert ("127.64.0.3", f"a.else.{qualified} a.else.svc a.else a") in lines(names, "else")


def test_files_follow_changes_in_place(tmp_path):
    names = Names(tmp_path, "127.0.0.1 localhost\n")
    names.set_service(service("a", app="a"))
    path = names.file("ns")
    inode = path.stat().st_ino
    assert lines(names) == []
    names.set_pod(pod("p", labels={"app": "a"}), "127.64.0.1")
    names.flush()
    assert lines(names) == [("127.64.0.1", "a.ns.svc.cluster.local a.ns.svc a.ns a"), ("127.64.0.1", "p")]
    names.set_pod(pod("p", labels={"app": "b"}), "127.64.0.1")
    assert lines(names) == [("127.64.0.1", "p")]
    names.set_pod(pod("p", labels={"app": "a"}), "127.64.0.1")
    names.remove_service(("ns", "a"))
    assert lines(names) == [("127.64.0.1", "p")]
    names.set_pod(pod("p", labels={"app": "a"}, phase="Succeeded"), "127.64.0.1")
    assert lines(names) == []
    assert path.stat().st_ino == inode, "the file is mounted in Pods: it must stay the same one"


def test_services_with_an_address_are_told_apart(tmp_path):
    names = Names(tmp_path, "")
    headless, addressed = service("a", app="a"), service("b", app="a")
    headless["spec"]["clusterIP"], addressed["spec"]["clusterIP"] = "None", "127.96.0.1"
    names.set_services([headless, addressed, {"metadata": {"name": "c", "namespace": "ns"}}])
    assert names.addressed("ns") == [addressed]
    assert names.addressed("else") == []
    names.remove_service(("ns", "b"))
    assert names.addressed("ns") == []
    names.set_service({**addressed, "spec": headless["spec"]})
    names.set_service(addressed)
    names.set_service({**addressed, "spec": headless["spec"]})
    assert names.addressed("ns") == []


def test_services_that_went_while_nobody_looked_are_forgotten(tmp_path):
    names = Names(tmp_path, "127.0.0.1 localhost\n")
    names.set_pod(pod("p", labels={"app": "a"}), "127.64.0.1")
    names.set_services([service("a", app="a"), service("b", app="a")])
    names.set_services([service("b", app="a")])
    assert [name.split()[-1] for _, name in lines(names)] == ["b", "p"]


values = st.sampled_from(["a", "b", ""])
changes = st.lists(st.tuples(st.sampled_from(["pod", "service"]), st.sampled_from("xyz"), values, values), max_size=20)


@given(changes)
def test_whatever_came_and_went_the_names_are_those_of_what_is_there(tmp_path_factory, steps):
    names = Names(tmp_path_factory.mktemp("network"), "127.0.0.1 localhost\n")
    there: dict[tuple[str, str], tuple[str, str]] = {}
    for what, name, app, tier in steps:
        labels = {key: value for key, value in (("app", app), ("tier", tier)) if value}
        if labels or (what, name) not in there:
            there[what, name] = (app, tier)
            if what == "pod":
                names.set_pod(pod(name, labels=labels), "127.64.0.1")
            else:
                names.set_service(service(name, **labels))
        else:
            del there[what, name]
            if what == "pod":
                names.remove_pod(f"ns-{name}")
            else:
                names.remove_service(("ns", name))
    wanted = []
    for (what, name), asked in sorted(there.items(), key=lambda one: (one[0][0] == "pod", one[0])):
        if what == "pod":
            wanted.append(name)
        elif any(asked):
            pods = [has for (other, _), has in there.items() if other == "pod"]
            wanted += [
                name for has in pods if all(not want or want == own for want, own in zip(asked, has, strict=True))
            ]
    assert [text.split()[-1] for _, text in lines(names)] == wanted
    for name in "xyz":
        names.remove_pod(f"ns-{name}")
        names.remove_service(("ns", name))
    assert lines(names) == []
    assert not names._carriers._by_pair
    assert not names._choosers._by_pair


def test_a_namespace_that_is_no_name_of_a_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be used as a name"):
        Names(tmp_path, "").file("../x")


def test_pods_that_wait_do_not_use_up_the_addresses() -> None:
    addresses = Addresses("127.0.1.0/28")
    waiting = [addresses.early(f"w{number}") for number in range(100)]
    assert [address != "" for address in waiting] == [True] * 7 + [False] * 93
    bound = [addresses.of(f"w{number}") for number in range(14)]
    assert bound[:7] == waiting[:7]
    assert len(set(bound)) == 14
