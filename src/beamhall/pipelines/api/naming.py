"""How pipelines and their versions may be named and tagged, and what of them can be changed.

Source: Kubeflow Pipelines, backend/api/v2beta1/pipeline.proto and apiserver/server/pipeline_server.go; reference "KFP",
section 1.6.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.kernel.errors import BadRequest

NAME_LIMIT = 128
"""Characters of the name of a pipeline or a version."""

TAGS_LIMIT = 20
TAG_LIMIT = 63
"""How many tags something may have, and how many characters the key and the value of one."""

CHANGEABLE = ("display_name", "tags")


def names_of(asked: Mapping[str, Any], otherwise: str = "") -> tuple[str, str]:
    """Give the name and the display name that a message asks for; either may stand for the other.

    Args:
        asked: Has ``name`` and ``display_name``, or one of them.
        otherwise: What it is called where it has neither; empty: it must have one.

    Raises:
        BadRequest: There is none, or it is too long.
    """
    name = asked.get("name") or asked.get("display_name") or otherwise
    display_name = asked.get("display_name") or name
    if not name.strip():
        raise BadRequest("name: it must be given")
    for field, value in (("name", name), ("display_name", display_name)):
        if len(value) > NAME_LIMIT:
            raise BadRequest(f"{field}: it has {len(value)} characters, and may have {NAME_LIMIT}")
    return name, display_name


def tags_of(asked: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the tags that a message asks for.

    Raises:
        BadRequest: They are too many, or one cannot be.
    """
    tags: Mapping[str, str] = asked.get("tags", {})
    if len(tags) > TAGS_LIMIT:
        raise BadRequest(f"tags: there are {len(tags)}, and may be {TAGS_LIMIT}")
    for key, value in tags.items():
        if not key or "." in key or '"' in key or len(key) > TAG_LIMIT:
            raise BadRequest(f"tags: {key[:80]!r} is no key: 1 to {TAG_LIMIT} characters, no '.' and no '\"'")
        if len(value) > TAG_LIMIT:
            raise BadRequest(f"tags.{key}: it has {len(value)} characters, and may have {TAG_LIMIT}")
    return tags


def changes_of(asked: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields that a message changes; what it does not have stays.

    Args:
        asked: What the message has.
        now: How the thing is, as a message.

    Raises:
        BadRequest: It would change what cannot be changed.
    """
    for field, value in asked.items():
        if field not in CHANGEABLE and value is not None and value != now.get(field, value[:0]):
            raise BadRequest(f"{field}: it cannot be changed; {' and '.join(CHANGEABLE)} can be")
    found: dict[str, Any] = {}
    if "display_name" in asked:
        found["display_name"] = names_of({"name": asked["display_name"]})[1]
    if "tags" in asked:
        found["tags"] = tags_of(asked)
    return found
