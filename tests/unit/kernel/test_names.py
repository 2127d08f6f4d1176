"""What names and labels may look like, and what is said about those that may not."""

from random import Random

import pytest

from beamhall.kernel.names import (
    annotation_causes,
    generate_name,
    label_1035_problem,
    label_causes,
    label_key_problem,
    label_problem,
    label_value_problem,
    path_segment_problem,
    subdomain_problem,
)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--0", "x" * 63])
def test_dns_labels(name: str) -> None:
    assert label_problem(name) == ""


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a_b", "x" * 64, "ä", "a\n"])
def test_no_dns_labels(name: str) -> None:
    assert label_problem(name)


def test_labels_of_services_begin_with_a_letter() -> None:
    assert label_1035_problem("a0-b") == ""
    assert "letter first" in label_1035_problem("0a")
    assert label_1035_problem("a-")


@pytest.mark.parametrize(("name", "is_good"), [
    ("a.b-c.0", True), ("x" * 253, True), ("x" * 254, False), ("a..b", False), (".a", False), ("a.-b", False),
    ("a/b", False),
])  # fmt: skip
def test_dns_subdomains(name: str, is_good: bool) -> None:
    assert (subdomain_problem(name) == "") is is_good


def test_a_problem_names_the_value_and_the_rule() -> None:
    assert subdomain_problem("My_Job") == (
        "'My_Job' is not allowed: use lower-case letters, digits, '-' and '.', with a letter or digit first and last,"
        " as my-name or example.com"
    )
    assert "at most 63" in label_problem("x" * 64)


@pytest.mark.parametrize("name", ["system:role", "A_b", "*"])
def test_names_for_paths(name: str) -> None:
    assert path_segment_problem(name) == ""


@pytest.mark.parametrize("name", [".", "..", "a/b", "a%b"])
def test_no_names_for_paths(name: str) -> None:
    assert path_segment_problem(name)


@pytest.mark.parametrize(("key", "is_good"), [
    ("app", True), ("a.b/C_d.e", True), ("/a", False), ("a/", False), ("A/b", False), ("a/b/c", False), ("-a", False),
    ("", False), ("x" * 64, False),
])  # fmt: skip
def test_label_keys(key: str, is_good: bool) -> None:
    assert (label_key_problem(key) == "") is is_good


@pytest.mark.parametrize(
    ("value", "is_good"), [("", True), ("A_b.c-1", True), ("a b", False), ("-a", False), ("x" * 64, False)]
)
def test_label_values(value: str, is_good: bool) -> None:
    assert (label_value_problem(value) == "") is is_good


def test_wrong_labels_are_all_named() -> None:
    causes = label_causes({"good": "a", "bad key": "a", "number": 3, "value": "a b"})
    assert [cause.field for cause in causes] == ["metadata.labels"] * 3
    assert ["'bad key'" in causes[0].message, "quotes" in causes[1].message, "'a b'" in causes[2].message] == [True] * 3


def test_annotations_hold_anything_up_to_a_size() -> None:
    assert annotation_causes({"a.b/c": "any text\nat all", "KEY": ""}) == []
    (cause,) = annotation_causes({"a": "x" * 262144})
    assert (cause.reason, "262145" in cause.message) == ("FieldValueTooLong", True)
    assert [cause.reason for cause in annotation_causes({"no key": "a", "n": 1})] == ["FieldValueInvalid"] * 2


def test_generated_names_fit_a_label() -> None:
    choose = Random(1).choice
    name = generate_name("tfjob-" + "x" * 80, choose)
    assert label_problem(name) == ""
    assert len(name) == 63
    assert generate_name("a-", choose) != generate_name("a-", choose)
