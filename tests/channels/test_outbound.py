"""How platforms are reached, and what is told when they are not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from subscriber.channels.outbound import ANSWER_BYTES, Route, route_to
from subscriber.errors import PlatformRefused, PlatformUnavailable, SubscriberError
from subscriber.platforms.api import ApiRequest
from tests.channels.small_sockets import outbound, serving
from tests.web.certificates import replace_pair

SECRET = {"token": "very-secret"}
PING = ApiRequest(method="POST", path="/ask", headers={"Accept": "application/json"}, body=b"{}")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(number: int, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=number, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer


def refused(answer: Answer) -> SubscriberError:
    """The error of an upgrade that is answered like this."""

    async def story() -> SubscriberError:
        async with serving(answer) as url, outbound() as out:
            with pytest.raises((PlatformRefused, PlatformUnavailable)) as caught:
                await out.connect(url, "/consumer/", SECRET)
            return caught.value

    return asyncio.run(story())


def test_a_refused_upgrade_tells_its_status() -> None:
    error = refused(status(409))
    assert isinstance(error, PlatformRefused)
    assert error.upstream_status == 409


@pytest.mark.parametrize(
    ("number", "reason"), [(503, "platform_failed"), (429, "throttled"), (500, "platform_failed")]
)
def test_a_platform_that_asks_to_come_later_is_unavailable(number: int, reason: str) -> None:
    error = refused(status(number, Retry_After="7"))
    assert isinstance(error, PlatformUnavailable)
    assert (error.reason, error.retry_after_seconds) == (reason, 7)


def test_no_redirect_is_followed_with_a_token() -> None:
    visited = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        visited.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    assert refused(elsewhere).reason == "redirect"
    assert visited == ["/consumer/"]


def test_no_error_and_nothing_behind_it_names_the_token() -> None:
    for number in (401, 409, 503, 302):
        error: BaseException | None = refused(status(number, Location="/elsewhere"))
        while error is not None:
            assert "very-secret" not in f"{error!r} {error}"
            error = error.__cause__


def test_a_platform_that_is_not_there_is_unreachable() -> None:
    async def story() -> None:
        async with outbound() as out:
            with pytest.raises(PlatformUnavailable, match="cannot reach") as caught:
                await out.connect("http://127.0.0.1:1", "/", SECRET)
            assert caught.value.reason == "unreachable"
            with pytest.raises(PlatformUnavailable):
                await out.send("http://127.0.0.1:1", PING, "Basic eA==")

    asyncio.run(story())


def test_a_request_carries_its_authorization_and_an_answer_is_read_up_to_a_limit() -> None:
    async def story() -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.headers["Authorization"] == "Basic eA=="
            return web.Response(body=bytes(2 * ANSWER_BYTES))

        async with serving(answer) as url, outbound() as out:
            found = await out.send(url, PING, "Basic eA==")
            assert found.status == 200
            assert len(found.body) <= ANSWER_BYTES

    asyncio.run(story())


def test_no_cookie_is_kept() -> None:
    async def story() -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            assert not request.cookies
            response = web.Response()
            response.set_cookie("balancer", "1")
            return response

        async with serving(answer) as url, outbound() as out:
            assert [(await out.send(url, PING, "Basic eA==")).status for _ in range(2)] == [200, 200]

    asyncio.run(story())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_is_always_verified_and_a_private_authority_trusted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    certificate, key = replace_pair(tmp_path, "localhost")
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    async def story() -> int | str:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", status(204))
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        async with outbound() as out:
            try:
                return (await out.send(url, PING, "Basic eA==")).status
            except PlatformUnavailable as error:
                return error.reason
            finally:
                await runner.cleanup()

    assert asyncio.run(story()) == (204 if trusted else "tls")


def test_loopback_goes_past_the_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    assert route_to("http://127.0.0.1:8090") == route_to("http://localhost") == Route(None, False)
    assert route_to("http://acme.example") == Route("http://proxy.example:3128", False)
