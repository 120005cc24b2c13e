"""Who is let in, at which address, and what everybody else is told."""

from __future__ import annotations

import pytest

from subscriber.services import build
from subscriber.settings import Settings
from subscriber.web import create_app
from tests.signing import bearer
from tests.web.console.world import ACME, World

JSON = {"Accept": "application/json"}


def test_the_console_answers_at_its_own_address_and_behind_a_gateway(world: World) -> None:
    headers = {"Authorization": bearer(world.token()), "Accept": "text/html"}
    for prefix in ("", "/api/acmeop-alarmapi/v1"):
        answer = world.client.get(f"{prefix}/console/tenants", headers=headers)
        assert (answer.status_code, 'href="./inbox"' in answer.text) == (200, True)
        moved = world.client.get(f"{prefix}/console", headers=headers)
        assert (moved.status_code, moved.headers["Location"]) == (308, "console/")


def test_without_a_token_nobody_is_let_in(world: World) -> None:
    for path in ("", "inbox", "live/events", "dead", "nowhere/at/all"):
        answer = world.client.get(f"/console/{path}", headers={"Accept": "text/html"})
        assert answer.status_code in (401, 404), path
        assert "<nav" not in answer.text
    page = world.client.get("/console/", headers={"Accept": "text/html"})
    assert "gateway" in page.text and page.headers["WWW-Authenticate"] == "Bearer"


def test_programs_are_refused_in_the_one_error_shape(world: World) -> None:
    answer = world.client.get("/console/", headers=JSON)
    assert (answer.status_code, answer.json and answer.json["error"]["reason"]) == (401, "missing")


@pytest.mark.parametrize("claims", [{"scope": ["alarmapi.read"]}, {"ten": None}])
def test_a_token_that_may_not_operate_is_refused(world: World, claims: dict[str, object]) -> None:
    answer = world.client.get("/console/", headers={"Authorization": bearer(world.token(ACME.name, **claims))})
    assert answer.status_code == 403


def test_an_expired_token_ends_the_live_tail_too(world: World) -> None:
    token = world.token(iat=1_000_000, exp=1_001_000)
    answer = world.client.get("/console/live/events", headers={"Authorization": bearer(token)})
    assert answer.status_code == 401


def test_what_does_not_exist_is_a_page_that_says_so(world: World) -> None:
    answer = world.get("nowhere")
    assert (answer.status_code, "the console has no such page" in answer.text) == (404, True)
    assert world.get("static/nothing.js").status_code == 404


def test_an_action_is_not_done_by_looking_at_its_address(world: World) -> None:
    assert world.get("dead/replay").status_code in (404, 405)
    assert world.actions() == []


def test_the_application_has_a_console_where_an_issuer_of_tokens_is_known(world: World) -> None:
    found = []
    for environ in ({}, world.platform.environ()):
        services = build(Settings.from_environ({**environ, "DATABASE_URL": world.settings.database_url}))
        found.append(create_app(services).test_client().get("/console/", headers={"Accept": "text/html"}).status_code)
        services.store.close()
    assert found == [404, 401]
