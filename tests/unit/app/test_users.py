"""Users beyond the owner: what is kept of them, and when their tokens are good."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from beamhall.app.users import Users, UsersError
from beamhall.kernel.identity import User

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_token_makes_its_user(tmp_path: Path) -> None:
    service, command = Users(tmp_path), Users(tmp_path)
    assert service.user_of("anything") is None
    token = command.add("jo", ["lab"], NOW)
    assert service.user_of(token) == User("jo", ("lab", "system:authenticated"))
    assert service.user_of(token + "x") is None
    assert token not in (tmp_path / "users.yaml").read_text()
    assert (tmp_path / "users.yaml").stat().st_mode & 0o077 == 0


def test_a_user_has_as_many_tokens_as_were_made(tmp_path: Path) -> None:
    users = Users(tmp_path)
    first, second = users.add("jo", ["lab"], NOW), users.add("jo", [], NOW)
    other = users.add("sam", [], NOW)
    assert users.user_of(first) == users.user_of(second) == User("jo", ("lab", "system:authenticated"))
    users.add("jo", ["office"], NOW)
    assert users.user_of(first) == User("jo", ("office", "system:authenticated"))
    users.remove("jo")
    assert users.user_of(first) is users.user_of(second) is None
    assert users.user_of(other) == User("sam", ("system:authenticated",))
    with pytest.raises(UsersError, match="no user 'jo'"):
        users.remove("jo")


@pytest.mark.parametrize("name", ["", "system:admin", "owner", "a\nb"])
def test_some_names_are_reserved(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsersError, match="cannot be a user's name"):
        Users(tmp_path).add(name, [], NOW)


def test_groups_of_the_system_are_reserved_but_that_of_administrators(tmp_path: Path) -> None:
    users = Users(tmp_path)
    with pytest.raises(UsersError, match="cannot be a group"):
        users.add("jo", ["system:nodes"], NOW)
    users.add("jo", ["system:masters"], NOW)


def test_a_broken_file_knows_nobody_and_is_told(tmp_path: Path) -> None:
    users = Users(tmp_path)
    token = users.add("jo", [], NOW)
    (tmp_path / "users.yaml").write_text("users: [{nme: x}]")
    assert users.user_of(token) is None
    with pytest.raises(UsersError, match="cannot be understood"):
        users.add("sam", [], NOW)
