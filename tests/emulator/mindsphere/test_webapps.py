"""Applications as people reach them: through the gateway's login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from tests.emulator.conftest import World

HOME = "/gateway/custaa-alarmapi-acmeop/"
PAGE = {"Accept": "text/html"}


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, path: str, method: str = "GET", **request: Any) -> requests.Response:
        return self.session.request(method, self.url + path, allow_redirects=False, **request)

    def sign_in(self, role: str = "operator", home: str = HOME, following: str = "console/") -> requests.Response:
        return self.call(f"{home}login", "POST", data={"person": role, "next": following})


@pytest.fixture
def browser(world: World) -> Iterator[Browser]:
    made = Browser(world.emulator.url)
    yield made
    made.session.close()


def seen_token(world: World) -> dict[str, Any]:
    token = world.app.got[-1].headers["authorization"].removeprefix("Bearer ")
    return dict(jwt.decode(token, options={"verify_signature": False}))


@pytest.mark.parametrize("home", [HOME, HOME.removeprefix("/gateway")])
def test_a_signed_in_person_reaches_the_application_with_a_token(world: World, browser: Browser, home: str) -> None:
    answer = browser.sign_in(home=home)
    assert (answer.status_code, answer.headers["Location"]) == (303, "console/")
    assert browser.call(f"{home}console/inbox?topic=a%20b", headers=PAGE).status_code == 204
    assert world.app.got[0].path == "/console/inbox?topic=a%20b"
    claims = seen_token(world)
    assert (claims["ten"], claims["user_name"]) == ("custaa", "operator@custaa.example")
    assert set(claims["scope"]) == {"alarmapi.default", "alarmapi.read", "alarmapi.operate"}


def test_the_api_is_reached_by_the_same_session(world: World, browser: Browser) -> None:
    browser.sign_in("reader")
    browser.call(f"{HOME}api/stream", headers={"Authorization": "Bearer a.b.c", "Last-Event-ID": "x"})
    assert (world.app.got[0].path, world.app.got[0].headers["last-event-id"]) == ("/api/stream", "x")
    assert seen_token(world)["user_name"] == "reader@custaa.example"


def test_who_is_not_signed_in_is_asked_who_they_are(world: World, browser: Browser) -> None:
    answer = browser.call(f"{HOME}console/inbox?a=b", headers=PAGE)
    assert answer.status_code == 302
    login = answer.headers["Location"]
    assert login == f"{HOME}login?next=console%2Finbox%3Fa%3Db"
    page = browser.call(login)
    assert page.text.count("<button") == 3 and 'value="console/inbox?a=b"' in page.text
    assert browser.call(f"{HOME}api/notifications").status_code == 401
    assert browser.call(f"{HOME}console/inbox", "POST", headers=PAGE).status_code == 401
    assert world.app.got == []


def test_the_cookies_are_the_platform_s_and_stay_at_the_gateway(world: World, browser: Browser) -> None:
    answer = browser.sign_in()
    assert set(browser.session.cookies.keys()) == {"SESSION", "XSRF-TOKEN"}
    session, xsrf = answer.raw.headers.getlist("Set-Cookie")
    assert "HttpOnly" in session and "HttpOnly" not in xsrf
    assert all(f"Path={HOME}" in cookie and "SameSite=Lax" in cookie for cookie in (session, xsrf))
    browser.call(f"{HOME}console/")
    assert "cookie" not in world.app.got[0].headers


def test_a_wrong_xsrf_token_is_refused_and_a_missing_one_if_told(world: World, browser: Browser) -> None:
    browser.sign_in()
    right = browser.session.cookies["XSRF-TOKEN"]

    def post(**headers: str) -> int:
        return browser.call(f"{HOME}console/dead", "POST", headers=headers, data={"a": "b"}).status_code

    assert (post(), post(**{"X-XSRF-TOKEN": right}), post(**{"X-XSRF-TOKEN": "wrong"})) == (204, 204, 403)
    world.turn(gw_xsrf="required")
    assert (post(), post(**{"X-XSRF-TOKEN": right})) == (403, 204)
    assert browser.call(f"{HOME}console/").status_code == 204


def test_a_person_without_a_role_does_not_reach_the_application(world: World, browser: Browser) -> None:
    browser.sign_in("visitor")
    assert browser.call(f"{HOME}console/").status_code == 403
    assert world.app.got == []


def test_a_session_of_one_tenant_is_none_of_another(world: World, browser: Browser) -> None:
    browser.sign_in()
    cookies = dict(browser.session.cookies)
    other = HOME.replace("custaa", "custbb")
    assert browser.call(f"{other}api/x", cookies=cookies).status_code == 401
    assert world.app.got == []


@pytest.mark.parametrize(
    "home", ["/gateway/custzz-alarmapi-acmeop/", "/custaa-other-acmeop/", "/custaa-alarmapi-x1/"]
)
def test_an_application_that_a_tenant_has_not_is_not_found(world: World, browser: Browser, home: str) -> None:
    assert browser.call(f"{home}login").status_code == 404
    assert browser.sign_in(home=home).status_code == 404
    assert browser.call(f"{home}console/").status_code == 404


@pytest.mark.parametrize(
    "following", ["//evil.example", "https://evil.example", "/elsewhere", "\\\\evil", "a\nb", ""]
)
def test_one_is_led_nowhere_else_after_signing_in(world: World, browser: Browser, following: str) -> None:
    assert browser.sign_in(following=following).headers["Location"] == "console/"


def test_nobody_signs_in_as_a_person_who_does_not_exist(world: World, browser: Browser) -> None:
    assert browser.sign_in("root").status_code == 401


def test_who_signs_out_is_nobody_again(world: World, browser: Browser) -> None:
    browser.sign_in()
    cookies = dict(browser.session.cookies)
    assert browser.call(f"{HOME}logout", "POST").status_code == 303
    assert browser.call(f"{HOME}api/x", cookies=cookies).status_code == 401


def test_the_overview_leads_to_every_application_of_every_tenant(world: World, browser: Browser) -> None:
    page = browser.call("/gateway/login").text
    for tenant in ("acmeop", "custaa", "custbb"):
        assert f'href="{tenant}-alarmapi-acmeop/console/"' in page
