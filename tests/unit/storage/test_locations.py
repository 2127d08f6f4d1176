"""URIs, and which options are for which place."""

import pytest

from beamhall.kernel.errors import BadRequest
from beamhall.storage import StoreOptions, locate
from beamhall.storage.options import options_for


@pytest.mark.parametrize(
    ("uri", "scheme", "bucket", "path"),
    [
        ("/a/b c", "", "", "/a/b c"),
        ("/a/", "", "", "/a"),
        ("/", "", "", "/"),
        ("file:///a/b%20c", "", "", "/a/b c"),
        ("file://localhost/a", "", "", "/a"),
        ("/a%20b", "", "", "/a%20b"),
        ("S3://lab/a/b/", "s3", "lab", "a/b"),
        ("minio://lab", "minio", "lab", ""),
        ("https://host:1/a?b=c", "https", "host:1", "a?b=c"),
    ],
)
def test_reads(uri: str, scheme: str, bucket: str, path: str) -> None:
    at = locate(uri)
    assert (at.uri, at.scheme, at.bucket, at.path) == (uri, scheme, bucket, path)


@pytest.mark.parametrize(
    "uri",
    ["", "a/b", "s3://", "s3:///a", "../a", "/a/../b", "s3://lab/../b", "file://host/a", "file:///a/%2e%2e/b", "/a\0b", "://x",
     "file:///a%00", "/" + "x" * 5000, "s3://lab/a\nb"],
)  # fmt: skip
def test_refuses_what_is_no_uri(uri: str) -> None:
    with pytest.raises(BadRequest):
        locate(uri)


def test_below() -> None:
    assert locate("s3://lab").below("a/b").path == "a/b"
    assert locate("s3://lab/x/").below("a").uri == "s3://lab/x/a"
    assert locate("/x").below("a").path == "/x/a"
    assert locate("/").below("a").path == "/a"


def test_the_first_options_that_are_for_a_place_count() -> None:
    part = StoreOptions("s3", bucket="lab", prefix="teams/a/", region="part", secret="hidden")
    rest = StoreOptions("s3", region="rest")
    chosen = [
        options_for(locate(uri), (part, rest)).region
        for uri in ("s3://lab/teams/a", "s3://lab/teams/a/x", "s3://lab/teams/ab", "s3://other/teams/a", "minio://lab/teams/a")
    ]  # fmt: skip
    assert chosen == ["part", "part", "rest", "rest", ""]
    assert "hidden" not in repr(part)


def test_an_endpoint_says_how_it_is_spoken_to() -> None:
    assert StoreOptions("s3", endpoint="h:9").endpoint_url == "https://h:9"
    assert StoreOptions("s3", endpoint="h:9", is_secure=False).endpoint_url == "http://h:9"
    assert StoreOptions("s3", endpoint="http://h:9").endpoint_url == "http://h:9"
    assert StoreOptions("s3").endpoint_url == ""
