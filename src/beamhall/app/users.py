"""Users beyond the owner: ``DIR/users.yaml``, with the hashes of their tokens and their groups.

    users:
    - name: jo
      groups: [lab]
      tokens:
      - {sha256: 9f86d0..., created: "2026-01-02T03:04:05Z"}

What they may do is said by roles and bindings. The service reads the file anew when it has changed, so that a token
that is taken back is refused from the next request on.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import structlog
import yaml

from beamhall.app.datadir import write_private
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import UserError
from beamhall.kernel.identity import ADMIN_GROUP, AUTHENTICATED_GROUP, User

FILE = "users.yaml"
_log = structlog.get_logger(__name__)
_RESERVED = "system:"


class UsersError(UserError):
    """A user has a name that there cannot be, or the file cannot be read; the message says which, and what to do."""


class Token(msgspec.Struct, frozen=True):
    """A token that was given out: its hash, and when."""

    sha256: str
    created: str


class Entry(msgspec.Struct, frozen=True):
    """One user."""

    name: str
    groups: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()


class _Document(msgspec.Struct, frozen=True):
    users: tuple[Entry, ...] = ()


class Users:
    """The users of a data directory.

    Args:
        data: The data directory.
    """

    def __init__(self, data: Path) -> None:
        self._file = data / FILE
        self._seen: tuple[int, int, int] | None = None
        self._by_hash: dict[str, User] = {}

    def user_of(self, token: str) -> User | None:
        """Give whose token this is, None if it is nobody's. A file that cannot be understood knows nobody."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return None
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._seen, self._by_hash = seen, {}
            try:
                self._by_hash = self._tokens()
            except UsersError as error:
                _log.error("users_not_read", why=str(error))
        return self._by_hash.get(_hash(token))

    def _tokens(self) -> dict[str, User]:
        return {
            token.sha256: User(entry.name, (*entry.groups, AUTHENTICATED_GROUP))
            for entry in self.all()
            for token in entry.tokens
        }

    def all(self) -> Sequence[Entry]:
        """Give every user.

        Raises:
            UsersError: The file cannot be understood.
        """
        try:
            content = yaml.load(self._file.read_text(), Loader=yaml.CSafeLoader)
            return msgspec.convert(content or {}, _Document).users
        except FileNotFoundError:
            return ()
        except (yaml.YAMLError, msgspec.ValidationError) as error:
            raise UsersError(f"{self._file} cannot be understood: {error}; mend it, or remove it") from error

    def add(self, name: str, groups: Sequence[str], now: datetime) -> str:
        """Give a new token to a user, who is made if there is none of that name.

        Args:
            name: The user's name, as roles bind it.
            groups: Put in place of the user's groups; empty: they stay as they are.
            now: The time, in UTC.

        Returns:
            The token. It is kept nowhere.

        Raises:
            UsersError: A name is reserved.
        """
        _check(name, groups)
        token = secrets.token_urlsafe(32)
        known = {entry.name: entry for entry in self.all()}
        entry = known.get(name, Entry(name))
        made = Token(_hash(token), format_time(now))
        known[name] = Entry(name, tuple(groups) or entry.groups, (*entry.tokens, made))
        self._write(list(known.values()))
        return token

    def remove(self, name: str) -> None:
        """Take a user's tokens back.

        Raises:
            UsersError: There is no such user.
        """
        entries = self.all()
        if name not in [entry.name for entry in entries]:
            raise UsersError(f"there is no user {name!r}; `beamhall users list` shows who there is")
        self._write([entry for entry in entries if entry.name != name])

    def _write(self, entries: Sequence[Entry]) -> None:
        document = msgspec.json.decode(msgspec.json.encode(_Document(tuple(entries))))
        write_private(self._file, yaml.dump(document, sort_keys=False))


def _check(name: str, groups: Sequence[str]) -> None:
    if not name or not name.isprintable() or name.startswith(_RESERVED) or name == "owner":
        raise UsersError(f"{name!r} cannot be a user's name: names that begin with {_RESERVED} and owner are reserved")
    for group in groups:
        if not group or not group.isprintable() or (group.startswith(_RESERVED) and group != ADMIN_GROUP):
            raise UsersError(
                f"{group!r} cannot be a group: of those that begin with {_RESERVED}, only {ADMIN_GROUP} can"
            )


def _hash(token: str) -> str:
    """Hash a token; it is long and random, so that nobody can find it from this."""
    return hashlib.sha256(token.encode()).hexdigest()
