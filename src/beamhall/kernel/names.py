"""What names, labels and annotations may look like, and how a name is generated.

Each ``*_problem`` gives an empty text for a good value, else what would be right. The caller says which field it is.

Source: Kubernetes "Object Names and IDs", "Labels and Selectors"; RFC 1123, RFC 1035.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from beamhall.kernel.errors import Cause

MAX_LABEL = 63
MAX_SUBDOMAIN = 253
MAX_ANNOTATIONS_BYTES = 256 * 1024

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5


def label_problem(name: str) -> str:
    """Check a DNS label of RFC 1123: namespaces, containers, Pods' hostnames."""
    return _problem(
        name, _LABEL, MAX_LABEL, "lower-case letters, digits and '-', with a letter or digit first and last, as my-name"
    )


def label_1035_problem(name: str) -> str:
    """Check a DNS label of RFC 1035: Services."""
    return _problem(
        name,
        _LABEL_1035,
        MAX_LABEL,
        "lower-case letters, digits and '-', with a letter first and a letter or digit last, as my-name",
    )


def subdomain_problem(name: str) -> str:
    """Check a DNS subdomain of RFC 1123: the names of most objects."""
    return _problem(
        name,
        _SUBDOMAIN,
        MAX_SUBDOMAIN,
        "lower-case letters, digits, '-' and '.', with a letter or digit first and last, as my-name or example.com",
    )


def path_segment_problem(name: str) -> str:
    """Check a name that only has to fit into a URL's path: roles and role bindings."""
    if name in (".", ".."):
        return f"{name!r} cannot be a name"
    return "a name cannot contain '/' or '%'" if "/" in name or "%" in name else ""


def label_key_problem(key: str) -> str:
    """Check the key of a label or an annotation: ``name`` or ``prefix/name``."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or (problem := subdomain_problem(prefix))):
        return f"the prefix of key {key!r} is no DNS name: {problem if prefix else 'it is empty'}"
    problem = _problem(
        name, _QUALIFIED, MAX_LABEL, "letters, digits, '-', '_' and '.', with a letter or digit first and last"
    )
    return f"key {key!r}: {problem}" if problem else ""


def label_value_problem(value: str) -> str:
    """Check the value of a label; it may be empty."""
    if not value:
        return ""
    return _problem(
        value,
        _QUALIFIED,
        MAX_LABEL,
        "letters, digits, '-', '_' and '.', with a letter or digit first and last, or nothing",
    )


def label_causes(labels: Mapping[str, object], field: str = "metadata.labels") -> Sequence[Cause]:
    """Check a mapping of labels."""
    causes = []
    for key, value in labels.items():
        if problem := label_key_problem(key):
            causes.append(_invalid(problem, field))
        if not isinstance(value, str):
            causes.append(_invalid(f"the value of {key!r} must be a string: put it into quotes", field))
        elif problem := label_value_problem(value):
            causes.append(_invalid(f"the value of {key!r}: {problem}", field))
    return causes


def annotation_causes(annotations: Mapping[str, object], field: str = "metadata.annotations") -> Sequence[Cause]:
    """Check a mapping of annotations: keys as those of labels, all together at most 256 KiB."""
    causes = []
    size_bytes = 0
    for key, value in annotations.items():
        # Upstream lowers the key before it checks, so keys in capitals are good here.
        if problem := label_key_problem(key.lower()):
            causes.append(_invalid(problem, field))
        if not isinstance(value, str):
            causes.append(_invalid(f"the value of {key!r} must be a string: put it into quotes", field))
            continue
        size_bytes += len(key.encode()) + len(value.encode())
    if size_bytes > MAX_ANNOTATIONS_BYTES:
        message = f"Too long: annotations are {size_bytes} bytes together; at most {MAX_ANNOTATIONS_BYTES} are allowed"
        causes.append(Cause("FieldValueTooLong", message, field))
    return causes


def generate_name(prefix: str, choose: Callable[[str], str]) -> str:
    """Make a name of ``metadata.generateName``: the prefix, cut so that it fits a DNS label, and five letters.

    Args:
        prefix: What the name begins with.
        choose: Gives one of the characters of a text at random: ``random.Random(...).choice``.
    """
    suffix = "".join(choose(_SUFFIX_LETTERS) for _ in range(_SUFFIX_LENGTH))
    return prefix[: MAX_LABEL - _SUFFIX_LENGTH] + suffix


def _invalid(problem: str, field: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {problem}", field)


def _problem(text: str, pattern: re.Pattern[str], max_length: int, rule: str) -> str:
    if not text:
        return "must not be empty"
    if len(text) > max_length:
        return f"{text[:20]!r}… has {len(text)} characters; at most {max_length} are allowed"
    return "" if pattern.fullmatch(text) else f"{text!r} is not allowed: use {rule}"


CHOSEN_PORTS_ANNOTATION = "network.beamhall/chosen-ports"
"""Of a Pod: ``loopback`` has its TCP servers that let the kernel choose a port listen at 127.0.0.1."""

BRIEF_ANNOTATION = "status.beamhall/brief"
"""Of a Pod: ``"true"`` has it reported when it has ended, if that is soon: nobody waits for it to be under way."""

STEP_ROOT_ANNOTATION = "pipelines.beamhall.io/root"
"""Of the Pod of a pipeline's step: where it leaves its results; below ``DIR/artifacts`` where they stay here."""
