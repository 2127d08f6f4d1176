"""What users upload: every format, and everything that is broken, too large, or a trap."""

import gzip
import io
import json
import tarfile
import zipfile
from typing import Any

import pytest
import yaml

from beamhall.kernel.errors import BadRequest, TooLarge
from beamhall.pipelines import packages
from beamhall.pipelines.packages import documents_of
from tests.unit.pipelines.specs import spec

YAML = yaml.safe_dump(spec()).encode()


def named(value: Any) -> str:
    """Name a case: archives hold the time, and every process that collects tests must name them alike."""
    return value if isinstance(value, str) else "package"


PLATFORM: dict[str, Any] = {"platforms": {"kubernetes": {}}}


def zipped(compression: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    return zip_of({name.replace("_", "."): content for name, content in files.items()}, compression)


def zip_of(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], **member: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in member.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        YAML,
        b"# PIPELINE DEFINITION\n" + YAML,
        b"\xef\xbb\xbf" + YAML,
        json.dumps(spec()).encode(),
        b"\n " + json.dumps(spec(), indent=1).encode(),
        zipped(pipeline_yaml=YAML),
        zipped(x_yml=YAML, readme_txt=b"x"),
        zipped(x_json=json.dumps(spec()).encode()),
        zipped(zipfile.ZIP_LZMA, pipeline_yaml=YAML),
        zip_of({"pipeline.yaml": YAML, "component.yaml": b"a: 1"}),
        zip_of({"dir/p.yaml": YAML, "__MACOSX/dir/._p.yaml": b"x", "dir/": b""}),
        tar_of({"pipeline.yaml": YAML}),
        tar_of({"./pipeline.yaml": YAML, "./component.yaml": b"a: 1"}),
        tar_of({"../../etc/x.yaml": YAML}),
    ],
    ids=named,
)
def test_a_package_of_any_format(content: bytes) -> None:
    assert documents_of(content) == [spec()]


def test_two_documents() -> None:
    both = yaml.safe_dump_all([spec(), PLATFORM]).encode() + b"\n---\n"
    assert documents_of(both) == [spec(), PLATFORM]
    assert documents_of(tar_of({"a.yaml": both})) == [spec(), PLATFORM]


def test_what_looks_like_a_time_is_text_and_names_are_text() -> None:
    assert documents_of(b"a: 2020-01-01\nb: {1: x}\nc: 2.1.0\nd: 3.0") == [
        {"a": "2020-01-01", "b": {"1": "x"}, "c": "2.1.0", "d": 3.0}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"a: [", "is neither YAML nor JSON"),
        (b'{"a": 1,,}', "(line 1, column"),
        (b"\xff\xfe\x00", "is neither YAML nor JSON"),
        (b"a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        (b"? [a]\n: 1", "unhashable key"),
        (b"a: &x [1]\nb: *x", "has an alias (*x): write the value out"),
        (b"a: &x [*x]", "has an alias"),
        (b"tasks:\n  a: 1\n  a: 2\n", "'a' is given twice (line 3, column 3)"),
        (b"[" * 100_000, "nested more than 200 deep"),
        (b"{a: " * 100_000, "nested more than 200 deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 200 deep"),
        (b"PK\x03\x04nonsense", "is a broken archive"),
        (b"\x1f\x8bnonsense", "is a broken archive"),
        (gzip.compress(b""), "is a broken archive"),
        (gzip.compress(YAML), "is a broken archive"),
        (tar_of({"pipeline.yaml": YAML})[:-20], "is a broken archive"),
        (zipped(pipeline_yaml=YAML)[:-20], "is a broken archive"),
        (zip_of({}), "there are none"),
        (zipped(x_foo=YAML), "there are none"),
        (zipped(a_yaml=YAML, b_yaml=YAML), "there are 2 of them"),
        (tar_of({"x.foo": b"x"}), "there are none"),
        (tar_of({"pipeline.yaml": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "there are none"),
        (zip_of({f"{n}.yaml": b"" for n in range(packages.MAX_MEMBERS + 1)}), "more than 1000 files"),
        (tar_of({f"{n}.yaml": b"" for n in range(packages.MAX_MEMBERS + 1)}), "more than 1000 files"),
    ],
    ids=named,
)
def test_what_cannot_be_read_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        documents_of(content, "p.yaml")
    assert words in caught.value.message


BOMB = b"\0" * (packages.MAX_UNPACKED_BYTES + 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a" * (packages.MAX_PACKAGE_BYTES + 1), "are allowed"),
        (zip_of({"pipeline.yaml": BOMB}), "when it is decompressed"),
        (tar_of({"pipeline.yaml": BOMB}), "when it is decompressed"),
        (gzip.compress(BOMB), "when it is decompressed"),
    ],
    ids=["upload", "zip", "tar", "gzip"],
)
def test_what_is_too_large_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(TooLarge) as caught:
        documents_of(content)
    assert words in caught.value.message


def test_too_many_values_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_NODES", 1000)
    assert len(documents_of(b"[" + b"1," * 900 + b"]")[0]) == 900
    with pytest.raises(TooLarge, match="more than 1000 values"):
        documents_of(b"[" + b"1," * 1001 + b"]")


def test_no_more_of_an_archive_is_decompressed_than_may_be() -> None:
    file = io.BytesIO(b"0" * 1000)
    with pytest.raises(TooLarge):
        packages._limited(file, 10)
    assert file.tell() == 11
