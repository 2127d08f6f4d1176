"""What can go wrong with an image, said so that a user can mend it."""

from collections.abc import Sequence

from beamhall.kernel.errors import InternalError, Invalid, NotFound


class UnknownImage(NotFound):
    """No entry of the catalog stands for this image.

    Attributes:
        reference: The image.
        nearest: Names that look like it.
        add_command: The command that adds it.
    """

    def __init__(self, reference: str, nearest: Sequence[str], file: str, note: str = "") -> None:
        self.reference = reference
        self.nearest = tuple(nearest)
        self.add_command = f"beamhall images add {reference} --environment tensorflow [--path DIR]"
        near = f"; nearest: {', '.join(nearest)}" if nearest else ""
        super().__init__(
            f"image {reference!r} is not in the catalog{near}. Say which environment stands for it: {self.add_command}"
            f", or in {file} under images: '- {{image: {reference}, environment: tensorflow}}'."
            f" 'beamhall images list' shows what there is{note}"
        )


class CatalogInvalid(Invalid):
    """A file of the catalog is wrong; the message names file, line and field."""


class EnvironmentFailed(InternalError):
    """An environment could not be made; asking again tries again.

    Attributes:
        environment: Its name.
        requirement: The requirement that failed; empty if it is not known.
        output: The last lines that uv wrote.
    """

    def __init__(self, environment: str, requirement: str, why: str, output: Sequence[str] = ()) -> None:
        self.environment = environment
        self.requirement = requirement
        self.output = tuple(output)
        at = f" at requirement {requirement!r}" if requirement else ""
        tail = "\n" + "\n".join(f"  {line}" for line in output) if output else ""
        super().__init__(f"environment {environment!r} could not be made{at}: {why}{tail}")
