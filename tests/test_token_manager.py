"""Tokens per tenant against a small Token Manager: cached, shared, renewed in time, dropped when refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.mindsphere_api import Application
from subscriber.settings import Settings
from subscriber.token_manager import Gateway, TokenManager, open_gateway, renew_at
from subscriber.transport import Transport
from tests.small_platform import LIST_PATH, TOKEN_PATH, SmallPlatform, jwt, refusal

NOW = 1_800_000_000.0
LIST = ApiRequest(method="GET", path=f"{LIST_PATH}?page=0", headers={}, body=None)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def platform(clock: Clock) -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", now=clock) as platform:
        yield platform


@pytest.fixture
def transport(platform: SmallPlatform) -> Iterator[Transport]:
    transport = Transport(platform.url, pause=lambda seconds: False, jitter=lambda: 0.0)
    yield transport
    transport.close()


@pytest.fixture
def tokens(platform: SmallPlatform, transport: Transport, clock: Clock) -> TokenManager:
    return TokenManager(application(platform), transport, now=clock, jitter=lambda: 0.0)


@pytest.fixture
def gateway(tokens: TokenManager, transport: Transport) -> Gateway:
    return Gateway(tokens, transport)


def application(platform: SmallPlatform, secret: str = SmallPlatform.secret) -> Application:
    return Application(
        name="alarmapi",
        version="v1.4.2",
        host_tenant=platform.host,
        client_id=f"{platform.host}-alarmapi-v1.4.2",
        client_secret=secret,
    )


def test_a_tenants_token_is_asked_for_once(platform: SmallPlatform, tokens: TokenManager) -> None:
    assert tokens.token("custaa") == tokens.token("custaa") == platform.issued[0]
    assert platform.count(path=TOKEN_PATH) == 1


def test_every_tenant_has_its_own_token(platform: SmallPlatform, tokens: TokenManager) -> None:
    assert platform.tokens[tokens.token("custaa")] == "custaa"
    assert platform.tokens[tokens.token("acmeop")] == "acmeop"


@pytest.mark.parametrize(
    ("lifetime", "good_for"),
    [(1800, 1620), (600, 540), (300, 240), (60, 0)],
    ids=["a tenth early", "both equal", "a minute early", "never kept"],
)
def test_a_token_is_renewed_a_minute_or_a_tenth_of_its_life_early(lifetime: int, good_for: int) -> None:
    assert renew_at(jwt("custaa", 0, NOW, NOW + lifetime), NOW, 0.0) == NOW + good_for


def test_a_token_without_a_start_is_taken_as_fresh() -> None:
    assert renew_at("e30.eyJleHAiOjE4MDAwMDE4MDB9.c2ln", NOW, 0.0) == NOW + 1620


def test_a_token_that_says_no_end_is_used_once() -> None:
    assert renew_at("opaque", NOW, 0.5) == NOW


@pytest.mark.parametrize(("jitter", "good_for"), [(0.0, 1620), (0.5, 1530), (0.999, 1440.18)])
def test_chance_moves_the_renewal_earlier_and_never_later(jitter: float, good_for: float) -> None:
    assert renew_at(jwt("custaa", 0, NOW, NOW + 1800), NOW, jitter) == pytest.approx(NOW + good_for)


def test_processes_that_started_together_renew_at_different_times(
    platform: SmallPlatform, transport: Transport, clock: Clock
) -> None:
    processes = [
        TokenManager(application(platform), transport, now=clock, jitter=lambda share=share: share / 10)
        for share in range(10)
    ]
    for process in processes:
        process.token("custaa")
    renewed = []
    for _ in range(10):
        before = platform.count(path=TOKEN_PATH)
        clock.now = NOW + 1458.5 + 18 * len(renewed)
        for process in processes:
            process.token("custaa")
        renewed.append(platform.count(path=TOKEN_PATH) - before)
    assert renewed == [1] * 10


def test_the_renewal_happens_at_its_time_and_not_before(
    platform: SmallPlatform, tokens: TokenManager, clock: Clock
) -> None:
    first = tokens.token("custaa")
    clock.now += 1619
    assert tokens.token("custaa") == first
    clock.now += 1
    assert tokens.token("custaa") != first


def test_whoever_asks_at_the_same_time_shares_one_request(platform: SmallPlatform, tokens: TokenManager) -> None:
    platform.open.clear()
    start = threading.Barrier(17)

    def ask() -> str:
        start.wait(5)
        return tokens.token("custaa")

    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask) for _ in range(16)]
        start.wait(5)
        platform.open.set()
        assert {one.result(10) for one in asked} == {platform.issued[0]}
    assert platform.count(path=TOKEN_PATH) == 1


def test_a_wrong_secret_is_refused_with_its_likely_cause_and_shown_nowhere(
    platform: SmallPlatform, transport: Transport, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = TokenManager(application(platform, "other-s3cret"), transport, now=clock)
    with pytest.raises(PlatformRefused, match="365 days") as caught:
        tokens.token("custaa")
    assert caught.value.reason == "credentials_refused"
    assert "other-s3cret" not in caplog.text + str(caught.value) + repr(tokens.application)


def test_a_refusal_holds_for_half_a_minute(platform: SmallPlatform, tokens: TokenManager, clock: Clock) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    for _ in range(3):
        with pytest.raises(PlatformRefused, match="not provisioned to custaa"):
            tokens.token("custaa")
    assert platform.count(path=TOKEN_PATH) == 1
    del platform.replies["custaa"]
    clock.now += 30
    assert tokens.token("custaa") == platform.issued[0]


def test_an_outage_is_not_remembered(platform: SmallPlatform, tokens: TokenManager) -> None:
    platform.replies["custaa"] = (503, None)
    with pytest.raises(PlatformUnavailable):
        tokens.token("custaa")
    del platform.replies["custaa"]
    assert tokens.token("custaa")


def test_an_old_token_serves_on_while_its_renewal_fails_and_not_past_its_end(
    platform: SmallPlatform, tokens: TokenManager, clock: Clock
) -> None:
    old = tokens.token("custaa")
    platform.replies["custaa"] = (503, None)
    clock.now = NOW + 1620
    assert tokens.token("custaa") == old
    asked = platform.count(path=TOKEN_PATH)
    clock.now += 9
    assert tokens.token("custaa") == old and platform.count(path=TOKEN_PATH) == asked
    clock.now += 1
    assert tokens.token("custaa") == old and platform.count(path=TOKEN_PATH) > asked
    clock.now = NOW + 1770
    with pytest.raises(PlatformUnavailable):
        tokens.token("custaa")
    del platform.replies["custaa"]
    assert tokens.token("custaa") not in ("", old)


def test_an_old_token_does_not_outlive_a_refusal(platform: SmallPlatform, tokens: TokenManager, clock: Clock) -> None:
    tokens.token("custaa")
    platform.replies["custaa"] = (403, refusal("forbidden"))
    clock.now = NOW + 1620
    with pytest.raises(PlatformRefused):
        tokens.token("custaa")


def test_while_throttled_nobody_asks_for_any_tenant_and_good_tokens_serve_on(
    platform: SmallPlatform, tokens: TokenManager, clock: Clock
) -> None:
    good = tokens.token("acmeop")
    platform.replies["custaa"] = (429, refusal("tooManyRequests"))
    platform.retry_after = 60  # more than a call waits for
    with pytest.raises(PlatformUnavailable):
        tokens.token("custaa")
    asked = platform.count(path=TOKEN_PATH)
    for tenant in ("custaa", "custbb"):
        with pytest.raises(PlatformUnavailable) as caught:
            tokens.token(tenant)
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("throttled", 60)
    assert tokens.token("acmeop") == good
    clock.now += 59.5
    with pytest.raises(PlatformUnavailable):
        tokens.token("custcc")
    assert platform.count(path=TOKEN_PATH) == asked
    clock.now += 0.5
    assert tokens.token("custdd"), "asking in vain made it no longer"


def test_the_tokens_used_last_are_kept(platform: SmallPlatform, transport: Transport, clock: Clock) -> None:
    tokens = TokenManager(application(platform), transport, now=clock, max_tenants=2)
    for tenant in ("custaa", "custbb", "custaa", "custcc", "custaa"):
        tokens.token(tenant)
    assert platform.count(path=TOKEN_PATH) == 3
    tokens.token("custbb")
    assert platform.count(path=TOKEN_PATH) == 4


def test_a_call_carries_the_tenants_token(platform: SmallPlatform, gateway: Gateway) -> None:
    assert gateway.call("acmeop", LIST).status == 200
    assert platform.calls[-1].tenant == "acmeop"


def test_a_token_that_an_api_refuses_is_replaced_and_the_call_made_once_more(
    platform: SmallPlatform, gateway: Gateway, tokens: TokenManager
) -> None:
    revoked = tokens.token("acmeop")
    platform.refused_tokens.add(revoked)
    assert gateway.call("acmeop", LIST).status == 200
    assert platform.count("GET", LIST_PATH) == 2
    assert tokens.token("acmeop") != revoked


def test_a_call_that_is_refused_twice_ends_there(platform: SmallPlatform, gateway: Gateway) -> None:
    platform.refused_tokens = AnyToken()
    assert gateway.call("acmeop", LIST).status == 401
    assert (platform.count("GET", LIST_PATH), platform.count(path=TOKEN_PATH)) == (2, 2)


class AnyToken(set[str]):
    def __contains__(self, token: object) -> bool:
        return True


def test_dropping_an_old_token_keeps_the_new_one(tokens: TokenManager, clock: Clock) -> None:
    old = tokens.token("custaa")
    clock.now += 1700
    new = tokens.token("custaa")
    tokens.drop("custaa", old)
    assert tokens.token("custaa") == new


def test_the_configured_application_s_gateway_speaks_with_its_credentials() -> None:
    with SmallPlatform("custaa") as platform:
        settings = Settings.from_environ(platform.environ()).mindsphere
        assert settings is not None
        with closing(open_gateway(settings, stop=threading.Event())) as gateway:
            assert gateway.call("acmeop", LIST).status == 200
        assert (gateway.application.name, gateway.application.host_tenant) == ("alarmapi", "acmeop")
