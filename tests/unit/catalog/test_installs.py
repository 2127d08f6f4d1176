"""What a step installs, as values: which texts are requirements, and when two requests are the same."""

import pytest

from beamhall.catalog.installs import Install, is_requirement, key_of, normalised, uv_index_arguments


@pytest.mark.parametrize(
    "text",
    [
        "numpy", "kfp==2.14.3", "kfp==2.0.0-beta.16", "nbclient>=0.10,<1", "a[b,c]~=1.0", "x (>=1)", "torch==2.1.0+cpu",
        'typing-extensions>=3.7.4,<5; python_version<"3.9"', "pip @ https://h.x/pip-1.0-py3-none-any.whl",
        "git+https://github.com/o/r.git@main#subdirectory=sdk/python&egg=kfp", "https://h.x/p.tar.gz", "pandas==2.*",
    ],
)  # fmt: skip
def test_what_is_a_requirement(text):
    assert is_requirement(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "-r", "--target", "--upgrade", "./dir", "/dir", "dir/", "x.whl", "kfp-1.0.tar.gz", "file:///x", "a b",
        "a --hash=x", "a # b", "a\nb", "a; x\n--index-url y", "a; x\\", "a==1 --index-url y", "$X", "a==$(id)", "-e .",
    ],
)  # fmt: skip
def test_what_is_no_requirement(text):
    assert not is_requirement(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Typing_Extensions >=3.7.4, <5 ; python_version<'3'", "typing-extensions<5,>=3.7.4; python_version<'3'"),
        ("a [Y, x] == 1", "a[x,y]==1"),
        ("a.b", "a-b"),
        ("a (>=1)", "a>=1"),
        ("git+https://h/x.git", "git+https://h/x.git"),
    ],
)
def test_requirements_are_written_one_way(text, expected):
    assert normalised(text) == expected


def test_requests_are_the_same_whatever_the_order_within_one_install():
    one = key_of([Install(("b>=1", "A")), Install(("kfp==2",), is_alone=True)])
    assert one == key_of([Install(("a", "b >= 1")), Install(("kfp==2",), is_alone=True)])
    others = [
        key_of([Install(("b>=1", "A", "kfp==2"))]),
        key_of([Install(("kfp==2",), is_alone=True), Install(("b>=1", "A"))]),
        key_of([Install(("b>=1", "A")), Install(("kfp==2",))]),
        key_of([Install(("b>=1", "A"), index_urls=("u",)), Install(("kfp==2",), is_alone=True)]),
        key_of([Install(("b>=1", "A"), trusted_hosts=("u",)), Install(("kfp==2",), is_alone=True)]),
    ]
    assert len({one, *others}) == 6


def test_indexes_are_said_in_uvs_words():
    install = Install(("a",), index_urls=("https://one", "https://two"), trusted_hosts=("h:1", "https://one"))
    assert uv_index_arguments(install) == [
        "--index-url", "https://one", "--extra-index-url", "https://two", "--index-strategy", "unsafe-best-match",
        "--allow-insecure-host", "h:1",
    ]  # fmt: skip
    assert uv_index_arguments(Install(("a",))) == []
