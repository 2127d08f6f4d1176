"""What flows between tasks: parameters as JSON values, artifacts as references. Knows nothing of when.

All of it is shared between tasks: never change it. Read on in ``decisions``.
"""

from collections.abc import Mapping, Sequence

import msgspec

from beamhall.pipelines.spec.executors import ArtifactType
from beamhall.pipelines.spec.sources import Json


class ArtifactRef(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An artifact as tasks see it.

    Attributes:
        id: Its id in the history; empty while it has none.
        name: Its name, as the executor of a step sees it.
        type: Title and version of its schema.
        uri: Where its bytes are.
        metadata: A JSON object.
    """

    id: str = ""
    name: str = ""
    type: ArtifactType = ArtifactType()
    uri: str = ""
    metadata: Mapping[str, Json] = msgspec.field(default_factory=dict)


class Inputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task is given: parameters of the declared types, artifacts as lists (of one, unless declared a list).

    Attributes:
        platform: What the sources in its platform configuration came to, by where they stand
            (``spec.platform.sources_of``); constants, and those without a value, are not in it.
    """

    parameters: Mapping[str, Json] = msgspec.field(default_factory=dict)
    artifacts: Mapping[str, Sequence[ArtifactRef]] = msgspec.field(default_factory=dict)
    platform: Mapping[str, Json] = msgspec.field(default_factory=dict)


class Outputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a task gave. A loop gives lists, in the order of its items."""

    parameters: Mapping[str, Json] = msgspec.field(default_factory=dict)
    artifacts: Mapping[str, Sequence[ArtifactRef]] = msgspec.field(default_factory=dict)


NO_OUTPUTS = Outputs()
