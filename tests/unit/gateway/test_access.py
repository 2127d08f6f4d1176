"""Who may pass: the table of credentials, names and origins."""

import pytest
from starlette.datastructures import Headers

from beamhall.gateway.access import OWNER, AccessRules
from beamhall.kernel.errors import Forbidden, Unauthorized
from beamhall.kernel.identity import User

RULES = AccessRules("secret-token", host_names=("lab.example.org",))
COOKIE = "beamhall-8080"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "a.localhost", "LAB.example.org:1"]
)
def test_own_names_pass(host: str) -> None:
    RULES.check_target(Headers({"host": host}))


@pytest.mark.parametrize(
    "host", ["", "evil.example.com", "evil.example.com:8080", "127.0.0.1.evil.com", "localhost.evil.com", "[", "a b"]
)
def test_foreign_names_do_not_pass(host: str) -> None:
    with pytest.raises(Forbidden, match="is not a name of this server"):
        RULES.check_target(Headers({"host": host}))


@pytest.mark.parametrize("origin", ["http://localhost:8080", "https://localhost:8080"])
def test_own_pages_may_call(origin: str) -> None:
    RULES.check_target(Headers({"host": "localhost:8080", "origin": origin}))


@pytest.mark.parametrize(
    "origin", ["http://evil.example.com", "http://localhost:9999", "null", "http://127.0.0.1:8080"]
)
def test_other_sites_pages_may_not_call(origin: str) -> None:
    with pytest.raises(Forbidden, match="may not call this server"):
        RULES.check_target(Headers({"host": "localhost:8080", "origin": origin}))


@pytest.mark.parametrize("value", ["Bearer secret-token", "bearer secret-token", "Bearer  secret-token "])
def test_the_token_makes_the_owner(value: str) -> None:
    assert RULES.user_of(Headers({"authorization": value}), COOKIE) == OWNER


@pytest.mark.parametrize(
    "value", ["Bearer wrong", "Bearer ", "Basic c2VjcmV0LXRva2Vu", "secret-token", "Bearer secret-tokenä"]
)
def test_a_wrong_token_is_refused(value: str) -> None:
    with pytest.raises(Unauthorized, match="token is wrong"):
        RULES.user_of(Headers({"authorization": value}), COOKIE)


def test_tokens_of_others_make_them() -> None:
    jo = User("jo", ("lab",))
    rules = AccessRules("secret-token", authenticate={"t0ken": jo}.get)
    assert rules.user_of(Headers({"authorization": "Bearer t0ken"}), COOKIE) == jo
    assert rules.user_of(Headers({"authorization": "Bearer secret-token"}), COOKIE) == OWNER
    for credential in ("Bearer t0kenx", "Basic t0ken", "Bearer"):
        with pytest.raises(Unauthorized):
            rules.user_of(Headers({"authorization": credential}), COOKIE)


def test_the_session_cookie_makes_the_owner_and_is_not_the_token() -> None:
    assert RULES.session != RULES.token
    assert RULES.user_of(Headers({"cookie": f"x=1; {COOKIE}={RULES.session}"}), COOKIE) == OWNER


@pytest.mark.parametrize(
    "cookie", ["", "x=1", f"{COOKIE}=secret-token", f"beamhall-9999={RULES.session}", f"{COOKIE}=", "\x00;=;;"]
)
def test_other_cookies_are_no_credential(cookie: str) -> None:
    with pytest.raises(Unauthorized, match="no credentials"):
        RULES.user_of(Headers({"cookie": cookie}), COOKIE)


def test_a_wrong_token_is_not_saved_by_a_good_cookie() -> None:
    with pytest.raises(Unauthorized):
        RULES.user_of(Headers({"authorization": "Bearer x", "cookie": f"{COOKIE}={RULES.session}"}), COOKIE)
