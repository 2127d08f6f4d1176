"""The catalog: finds what stands for an image, and has it made.

Entries come from the package, from the files named in ``BEAMHALL_IMAGES`` and from the user's DIR/images.yaml; the
later beat the earlier ones, and among the entries of one file the most specific pattern wins. Files are read anew when
they change. Read ``entries`` for what an entry holds, ``preparation`` for how an environment is made.
"""

import difflib
import fcntl
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from beamhall.catalog.document import Document, parse_document, read_document, with_image
from beamhall.catalog.entries import Environment, Image, Prepared, derived, prepared_at
from beamhall.catalog.errors import CatalogInvalid, UnknownImage
from beamhall.catalog.installs import Install
from beamhall.catalog.preparation import Preparation
from beamhall.catalog.references import matches, parse_reference, specificity
from beamhall.kernel.errors import Invalid

_SHIPPED = Path(__file__).parent / "shipped" / "images.yaml"
_REMEMBERED = 1024
K = TypeVar("K")
V = TypeVar("V")
_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Added:
    """What ``Catalog.add`` did.

    Attributes:
        image: The entry.
        file: Where it was written.
        has_replaced: Whether an entry of the same pattern was there before.
        has_lost_comments: Whether the file had comments, which are not kept.
    """

    image: Image
    file: Path
    has_replaced: bool
    has_lost_comments: bool


class Catalog:
    """The images and environments of one data directory. Make one with ``load``.

    Args:
        data_dir: The service's data directory.
        files: The files to read, the weakest first; the last is the one that ``add`` writes.
    """

    def __init__(self, data_dir: Path, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        # Its real place: programs of environments name their interpreter by its path, and others may share it.
        self._directory = (data_dir / "environments").resolve()
        self._preparation = Preparation(self._directory)
        self._stamps = [_stamp(file) for file in self._files]
        self._documents = [read_document(file) for file in self._files]
        self._problem = ""
        self._found: dict[str, Image] = {}
        self._derived: dict[tuple[str, tuple[Install, ...]], Environment] = {}
        _check(self._documents, self._files)

    @classmethod
    def load(cls, data_dir: Path) -> "Catalog":
        """Read the catalog of a data directory.

        Raises:
            CatalogInvalid: A file is wrong; the message names file, line and field.
        """
        named = [Path(f).expanduser() for f in os.environ.get("BEAMHALL_IMAGES", "").split(os.pathsep) if f]
        return cls(data_dir, [_SHIPPED, *named, data_dir / "images.yaml"])

    @property
    def problem(self) -> str:
        """What is wrong with a file since it changed; empty if nothing. Its old entries stay in force."""
        self._refresh()
        return self._problem

    def images(self) -> Sequence[Image]:
        """Give all entries for images, the strongest file first."""
        self._refresh()
        return [image for document in reversed(self._documents) for image in document.images]

    def environments(self) -> Sequence[Environment]:
        """Give all environments that can be made, by name."""
        self._refresh()
        return sorted(self._environments().values(), key=lambda e: e.name)

    def find(self, reference: str) -> Image:
        """Give the entry for an image reference. The name of an environment is one too.

        Raises:
            UnknownImage: There is none. The message says how to add one.
            Invalid: The reference is no image name.
        """
        self._refresh()
        found = self._found.get(reference)
        if found is None:
            found = self._look_up(reference)
            _keep(self._found, reference, found)
        return found

    def _look_up(self, reference: str) -> Image:
        try:
            parse_reference(reference)
        except ValueError as e:
            raise Invalid(str(e)) from None
        for document in reversed(self._documents):
            fitting = [image for image in document.images if matches(image.pattern, reference)]
            if fitting:
                # The first of equals, as one reads a file.
                return max(fitting, key=lambda image: specificity(image.pattern))
        if reference in self._environments():
            return Image(pattern=reference, environment=reference)
        note = f". Mind: {self._problem}" if self._problem else ""
        raise UnknownImage(reference, self._nearest(reference), str(self._files[-1]), note)

    def with_installs(self, image: Image, installs: Sequence[Install]) -> Image:
        """Give an image with more installed than its environment has: what ``is_ready`` and ``prepare`` then mean."""
        return replace(image, installs=tuple(installs))

    def is_ready(self, image: Image) -> Prepared | None:
        """Give the environment of an image if it is complete. Cheap: a few ``stat`` calls."""
        environment = self.environment_of(image)
        if not self._preparation.is_ready(environment):
            return None
        return prepared_at(self._preparation.prefix(environment), environment, image)

    async def prepare(self, image: Image, progress: Callable[[str], None]) -> Prepared:
        """Make the environment of an image, once however many ask, and give it.

        Args:
            image: What ``find`` gave.
            progress: Called in this event loop with a line for people at each step.

        Raises:
            EnvironmentFailed: The message names the requirement that failed, and why. Asking again tries again.
        """
        environment = self.environment_of(image)
        prefix = await self._preparation.make(environment, progress)
        return prepared_at(prefix, environment, image)

    def environment_of(self, image: Image) -> Environment:
        """Give the environment that an entry names, with what the entry wants on top of it.

        Raises:
            Invalid: It is gone from the catalog since.
        """
        key = (image.environment, tuple(image.installs))
        known = self._derived.get(key)
        if known is None:
            found = self._environments().get(image.environment)
            if found is None:
                raise Invalid(self._unknown_environment(image.environment))
            known = derived(found, image.installs)
            _keep(self._derived, key, known)
        return known

    def add(
        self,
        pattern: str,
        *,
        environment: str,
        path: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        workdir: str = "",
        entrypoint: Sequence[str] = (),
    ) -> Added:
        """Add an image to DIR/images.yaml, or change its entry there. Comments in that file are not kept.

        Args:
            pattern: An image name, or a pattern with ``*``.
            environment: Name of its environment.
            path: Directories with the image's own modules.
            env: Variables of the image.
            workdir: Its working directory.
            entrypoint: What containers run that name no command, or are given as arguments to.

        Raises:
            Invalid: The pattern is no image name, the environment is unknown, or a directory does not exist.
            CatalogInvalid: The file is wrong already; mend it first.
        """
        self._refresh()
        file = self._files[-1]
        image = Image(
            pattern=pattern.strip(),
            environment=environment,
            env=dict(env or {}),
            path=tuple(str(_directory(p)) for p in path),
            workdir=workdir,
            entrypoint=tuple(entrypoint),
            source=str(file),
        )
        try:
            parse_reference(pattern)
        except ValueError as e:
            raise Invalid(str(e)) from None
        if environment not in self._environments():
            raise Invalid(self._unknown_environment(environment))
        before = _write_image(file, self._directory / ".locks" / "images.lock", image)
        self._refresh()
        has_replaced = any(entry.pattern == image.pattern for entry in before.images)
        return Added(image, file, has_replaced, before.has_comments)

    def _environments(self) -> Mapping[str, Environment]:
        return {e.name: e for document in self._documents for e in document.environments}

    def _refresh(self) -> None:
        """Read the files anew if one changed. A wrong one leaves the old entries in force, since Pods rely on them."""
        stamps = [_stamp(file) for file in self._files]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            documents = [read_document(file) for file in self._files]
            _check(documents, self._files)
        except CatalogInvalid as e:
            self._problem = str(e)
        else:
            self._documents, self._problem = documents, ""
            self._found.clear()
            self._derived.clear()

    def _nearest(self, reference: str) -> Sequence[str]:
        known = {name: name for name in self._environments()}
        known |= {_last_part(i.pattern): i.pattern for d in self._documents for i in d.images}
        close = difflib.get_close_matches(_last_part(reference), [name for name in known if name], n=3, cutoff=0.6)
        return list(dict.fromkeys(known[name] for name in close))

    def _unknown_environment(self, name: str) -> str:
        known = sorted(self._environments())
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        return f"environment {name!r} is not in the catalog{meant} There are: {', '.join(known)}"


def _keep(known: dict[K, V], key: K, value: V) -> None:
    """Remember what was found out; all is forgotten when it becomes much."""
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def _check(documents: Sequence[Document], files: Sequence[Path]) -> None:
    """Check what takes all files at once. Raises ``CatalogInvalid``."""
    known = sorted({e.name for document in documents for e in document.environments})
    for document, file in zip(documents, files, strict=True):
        for image in document.images:
            if image.environment not in known:
                raise CatalogInvalid(
                    f"{file} line {document.lines[image.pattern]}: image {image.pattern!r}: environment"
                    f" {image.environment!r} does not exist; there are: {', '.join(known)}"
                )


def _write_image(file: Path, lock: Path, image: Image) -> Document:
    """Write an entry into a file, whole or not at all, and give what the file said before."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        before = parse_document(text, file)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as new:
                new.write(with_image(text, image))
                new.flush()
                os.fsync(new.fileno())
            Path(draft).replace(file)
        finally:
            Path(draft).unlink(missing_ok=True)
    return before


def _directory(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise Invalid(f"{path} is no directory; --path takes the directory that holds the image's modules")
    return path


def _last_part(pattern: str) -> str:
    """Give the part of a name that people remember: after the last slash, without tag and wildcards."""
    return parse_reference(pattern).name.rpartition("/")[2].strip("*-")


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
