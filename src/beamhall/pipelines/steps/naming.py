"""Names of the Kubernetes objects of a run: the same whenever they are made again, valid, and readable.

Source: Kubernetes "Object Names and IDs"; RFC 1123.
"""

import hashlib
import re

MAX_LABEL = 63

_OTHER = re.compile(r"[^a-z0-9]+")
_DIGEST_LENGTH = 15


def pod_name(pipeline: str, run_id: str, path: str, attempt: int) -> str:
    """Name the Pod of an attempt: ``<pipeline>-<task>-<digest>``, a DNS label."""
    task = path.rsplit("/", 1)[-1]
    digest = digest_of(run_id, path, str(attempt))
    return label("-".join((readable(pipeline, 20), readable(task, 26), digest)))


def run_name(pipeline: str, run_id: str) -> str:
    """Name a run as Kubernetes would: ``<pipeline>-<digest>``; short enough that suffixes fit."""
    return label(f"{readable(pipeline, 30)}-{digest_of(run_id)}")


def readable(text: str, length: int) -> str:
    """Give what of a text may stand in a name, at most so many characters; may be empty."""
    return _OTHER.sub("-", text.lower()).strip("-")[:length].strip("-")


def label(text: str) -> str:
    """Make a DNS label of words joined by ``-``, some of which may be empty. Ends with the last one, cut before it."""
    found = re.sub("-{2,}", "-", text).strip("-")
    return found[-MAX_LABEL:].strip("-")


def digest_of(*parts: str) -> str:
    """Give 60 bits that stand for texts, as digits and letters that a name may have."""
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
