"""How platforms are reached, and what is told when they are not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from subscriber.channels.outbound import ANSWER_BYTES, Outbound, Route, route_to
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


async def read_whole(out: Outbound, url: str, sent: Callable[[], None] = lambda: None) -> tuple[int, bytes]:
    """A poll's status and body."""
    async with out.poll(url, PING, "Basic eA==", sent) as stream:
        body = b""
        while piece := await stream.piece():
            body += piece
        return stream.status, body


def test_an_answer_that_is_held_back_is_read_as_it_comes() -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.headers["Authorization"] == "Basic eA=="
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b" ")
            await go_on.wait()
            await response.write(b"500,1")
            return response

        async with (
            serving(answer) as url,
            outbound() as out,
            out.poll(url, PING, "Basic eA==", lambda: None) as stream,
        ):
            assert await stream.piece() == b" "
            go_on.set()
            assert await stream.piece() == b"500,1"
            assert await stream.piece() == b""

    asyncio.run(story())


@pytest.mark.parametrize("number", [200, 302, 401, 503])
def test_the_status_of_a_poll_is_the_caller_s_and_no_redirect_is_followed(number: int) -> None:
    async def story() -> None:
        async with serving(status(number, Location="/elsewhere")) as url, outbound() as out:
            assert (await read_whole(out, url))[0] == number

    asyncio.run(story())


def test_a_poll_says_when_it_is_on_its_way_and_never_if_nobody_is_there() -> None:
    async def story() -> None:
        told = []
        async with serving(status(200)) as url, outbound() as out:
            await read_whole(out, url, lambda: told.append("sent"))
            assert told == ["sent"]
            with pytest.raises(PlatformUnavailable, match="cannot reach"):
                await read_whole(out, "http://127.0.0.1:1", lambda: told.append("again"))
        assert told == ["sent"]

    asyncio.run(story())


def test_a_poll_that_breaks_off_is_unavailable() -> None:
    async def story() -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"500,")
            assert request.transport is not None
            request.transport.abort()
            return response

        async with serving(answer) as url, outbound() as out:
            with pytest.raises(PlatformUnavailable):
                await read_whole(out, url)

    asyncio.run(story())


def test_a_packed_answer_is_not_unpacked_and_nothing_packed_is_asked_for() -> None:
    async def story() -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.headers["Accept-Encoding"] == "identity"
            return web.Response(body=b"packed", headers={"Content-Encoding": "gzip"})

        async with serving(answer) as url, outbound() as out:
            assert await read_whole(out, url) == (200, b"packed")

    asyncio.run(story())


def test_headers_and_subprotocols_are_offered() -> None:
    async def story() -> tuple[str, str, str | None]:
        seen: list[web.Request] = []

        async def answer(request: web.Request) -> web.StreamResponse:
            seen.append(request)
            socket = web.WebSocketResponse(protocols=("wss",))
            await socket.prepare(request)
            await socket.close()
            return socket

        async with serving(answer) as url, outbound() as out:
            headers = {"Authorization": "Bearer key"}
            socket = await out.connect(url, "/", {}, headers=headers, protocols=("wss", "pelion_key"))
            await socket.close()
            request = seen[0]
        return request.headers["Authorization"], request.headers["Sec-WebSocket-Protocol"], socket.protocol

    assert asyncio.run(story()) == ("Bearer key", "wss,pelion_key", "wss")


def test_a_message_may_be_as_large_as_was_said() -> None:
    async def story() -> list[web.WSMsgType]:
        async def answer(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str("x" * 1000)
            await socket.send_str("x" * 1001)
            return socket

        async with serving(answer) as url, outbound() as out:
            socket = await out.connect(url, "/", {}, message_bytes=1001)
            return [(await socket.receive()).type for _ in range(2)]

    assert asyncio.run(story()) == [web.WSMsgType.TEXT, web.WSMsgType.ERROR]
