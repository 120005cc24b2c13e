"""Registration: what should be, what is done about it, and that one failing tenant or topic fails alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import migrations
from subscriber.errors import PlatformRefused, PlatformUnavailable, SettingsError
from subscriber.model import EPOCH, Tenant
from subscriber.registration import (
    MAX_PAGES,
    OUTAGE_CALLS,
    Applied,
    Keep,
    Registrar,
    Subscribe,
    Subscription,
    build,
    plan,
    webhook_uri,
)
from subscriber.settings import Settings
from subscriber.store import Store, SubscriptionRow, TenantState, open_store
from tests.emulator.running import Client, Emulator, running_emulator
from tests.small_platform import LIST_PATH, TOKEN_PATH, Reply, SmallPlatform, refusal

HOST, CUSTAA, CUSTBB = (Tenant("mindsphere", name) for name in ("acmeop", "custaa", "custbb"))
EVENTS = "mdsp.core.eventmanagement.v1.pubsub.eventnotification"
ASSETS = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
PROVISIONING = "mdsp.core.provisioning.v1.pubsub.application.ext.notification"
MakeRegistrar = Callable[..., Registrar]


@pytest.fixture
def platform() -> Iterator[SmallPlatform]:
    with SmallPlatform("custaa", "custbb") as platform:
        yield platform


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/subscriber.db"
    migrations.apply(url)
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def registrar_with(platform: SmallPlatform, store: Store) -> Iterator[MakeRegistrar]:
    """Builds registrars whose repetitions do not wait."""
    built = []

    def make(*, stop: threading.Event | None = None, **environ: str) -> Registrar:
        settings = Settings.from_environ({**platform.environ(), "MDSP_TOPICS": f"{EVENTS},{ASSETS}", **environ})
        built.append(build(settings, store, stop=stop, jitter=lambda: 0.0))
        return built[-1]

    yield make
    for registrar in built:
        registrar.close()


@pytest.fixture
def registrar(registrar_with: MakeRegistrar) -> Registrar:
    return registrar_with()


def subscription(tenant: Tenant = CUSTAA, topic: str = EVENTS, uri: str = "https://g/one") -> Subscription:
    return Subscription(tenant=tenant, topic=topic, subscriber="alarmapi", version="v1.4.2", uri=uri)


def row(wanted: Subscription, *, state: str = "active", detail: str = "") -> SubscriptionRow:
    return SubscriptionRow(
        tenant=wanted.tenant,
        topic=wanted.topic,
        subscriber=wanted.subscriber,
        version=wanted.version,
        uri=wanted.uri,
        state=state,
        detail=detail,
        updated_at=EPOCH,
    )


def remembered(store: Store) -> dict[tuple[str, str], str]:
    rows = store.registry.subscriptions("mindsphere")
    return {(row.tenant.name, row.topic): row.state for row in rows}


def outcome(results: list[Applied]) -> dict[tuple[str, str], str]:
    return {(r.change.subscription.tenant.name, r.change.subscription.topic): r.reason for r in results}


ONE = subscription()


@pytest.mark.parametrize(
    ("actual", "change"),
    [
        ([], Subscribe(ONE, "new")),
        ([row(ONE)], Keep(ONE)),
        ([row(ONE, state="failed")], Subscribe(ONE, "failed")),
        ([row(ONE, state="stale")], Subscribe(ONE, "failed")),
        ([row(replace(ONE, uri="https://g/old"))], Subscribe(ONE, "moved")),
        ([row(replace(ONE, tenant=CUSTBB))], Subscribe(ONE, "new")),
        ([row(replace(ONE, topic=ASSETS))], Subscribe(ONE, "new")),
        ([row(replace(ONE, version="v1.4.1"))], Subscribe(ONE, "new")),
        ([row(replace(ONE, subscriber="other"))], Subscribe(ONE, "new")),
    ],
    ids=["nothing", "in place", "failed", "stale", "address", "tenant", "topic", "version", "subscriber"],
)
def test_the_plan_is_what_should_be_less_what_is(actual: list[SubscriptionRow], change: object) -> None:
    assert plan([ONE], actual) == [change]


def test_the_plan_keeps_the_order_of_what_should_be() -> None:
    wanted = [subscription(CUSTBB), subscription(CUSTAA), subscription(HOST)]
    assert [change.subscription for change in plan(wanted, [row(wanted[1])])] == wanted


def test_every_topic_is_wanted_in_every_tenant_and_provisioning_in_the_host_alone(registrar: Registrar) -> None:
    wanted = [(c.subscription.tenant, c.subscription.topic) for c in registrar.plan().changes]
    each = [(tenant, topic) for tenant in (CUSTAA, CUSTBB) for topic in (EVENTS, ASSETS)]
    assert wanted == [(HOST, EVENTS), (HOST, ASSETS), (HOST, PROVISIONING), *each]


def test_a_plan_changes_nothing(registrar: Registrar, platform: SmallPlatform, store: Store) -> None:
    registrar.plan()
    assert (platform.subscriptions, remembered(store), store.registry.tenants()) == ({}, {}, [])


def test_the_address_is_the_gateways_with_the_host_tenant_and_the_major_version(
    registrar: Registrar, platform: SmallPlatform
) -> None:
    uris = {change.subscription.uri for change in registrar.plan().changes}
    assert uris == {f"{platform.url}/api/alarmapi-acmeop/v1/notifications/mindsphere"}


def test_applying_subscribes_each_tenant_with_its_own_token(
    registrar: Registrar, platform: SmallPlatform, store: Store
) -> None:
    results = registrar.apply(registrar.plan().changes)
    assert len(results) == 7 and all(result.ok for result in results)
    assert set(platform.subscriptions) == set(remembered(store)) == set(outcome(results))
    assert set(remembered(store).values()) == {"active"}


def test_a_tenant_is_asked_for_one_token_however_many_topics_it_has(
    registrar: Registrar, platform: SmallPlatform
) -> None:
    registrar.apply(registrar.plan().changes)
    assert platform.count(path=TOKEN_PATH) == 3


def test_applying_again_asks_again_and_changes_nothing(
    registrar: Registrar, platform: SmallPlatform, store: Store
) -> None:
    registrar.apply(registrar.plan().changes)
    before = dict(platform.subscriptions)
    again = registrar.plan().changes
    assert {type(change) for change in again} == {Keep}
    assert all(result.ok for result in registrar.apply(again))
    assert (platform.subscriptions, platform.methods("/topics/")["PUT"]) == (before, 14)


def test_an_address_that_changed_is_put_in_place_of_the_old_one(
    registrar_with: MakeRegistrar, platform: SmallPlatform
) -> None:
    first = registrar_with()
    first.apply(first.plan().changes)
    moved = registrar_with(MDSP_URI_TEMPLATE="{gateway}/api/{app}-{host}/{version}/{endpoint}")
    changes = moved.plan().changes
    assert {change.why for change in changes} == {"moved"}
    moved.apply(changes)
    assert all("/v1.4.2/" in uri for uri in platform.subscriptions.values())


def test_a_broker_that_takes_no_put_is_asked_by_post_from_then_on(
    registrar: Registrar, platform: SmallPlatform
) -> None:
    platform.refused_verbs = {"PUT"}
    changes = registrar.plan().changes
    assert all(result.ok for result in registrar.apply(changes))
    tried = platform.methods("/topics/")["PUT"]
    assert tried < len(changes) + 1
    registrar.apply(changes)
    assert platform.methods("/topics/")["PUT"] == tried
    assert platform.methods("/topics/")["POST"] == 14


def test_a_broker_that_takes_neither_verb_is_named(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.refused_verbs = {"PUT", "POST"}
    results = registrar.apply(registrar.plan().changes)
    assert {result.reason for result in results} == {"verb_refused"}


def test_a_refused_topic_fails_alone(registrar: Registrar, platform: SmallPlatform, store: Store) -> None:
    platform.replies[ASSETS] = (404, refusal("noMatch", "unknown topic"))
    failed = {key for key, reason in outcome(registrar.apply(registrar.plan().changes)).items() if reason}
    assert failed == {(tenant.name, ASSETS) for tenant in (HOST, CUSTAA, CUSTBB)}
    assert {key for key, state in remembered(store).items() if state == "failed"} == failed


def test_a_tenant_whose_token_is_refused_fails_alone_with_the_likely_cause(
    registrar: Registrar, platform: SmallPlatform, store: Store
) -> None:
    platform.replies["custaa"] = (403, refusal("forbidden"))
    results = registrar.apply(registrar.plan().changes)
    failed = [result for result in results if not result.ok]
    assert {(r.change.subscription.tenant, r.reason) for r in failed} == {(CUSTAA, "tenant_refused")}
    assert "not provisioned to custaa" in failed[0].detail
    assert platform.count(path=TOKEN_PATH) == 3
    detail = {row.detail for row in store.registry.subscriptions("mindsphere") if row.state == "failed"}
    assert detail == {failed[0].detail}


def test_what_failed_is_planned_as_failed_and_can_succeed_later(
    registrar_with: MakeRegistrar, platform: SmallPlatform, store: Store
) -> None:
    platform.replies[f"custaa/{EVENTS}"] = (403, refusal("forbidden"))
    first = registrar_with()
    first.apply(first.plan().changes)
    platform.replies.clear()
    changes = registrar_with().plan().changes
    assert [c.subscription.topic for c in changes if c.why == "failed"] == [EVENTS]
    registrar_with().apply(changes)
    assert set(remembered(store).values()) == {"active"}


def test_an_unanswered_call_teaches_nothing_about_a_subscription(
    registrar: Registrar, platform: SmallPlatform, store: Store
) -> None:
    registrar.apply(registrar.plan().changes)
    platform.replies[f"custaa/{EVENTS}"] = (503, None)
    results = registrar.apply(registrar.plan().changes)
    assert [r.reason for r in results if not r.ok] == ["platform_failed"]
    assert set(remembered(store).values()) == {"active"}


def test_a_platform_that_is_away_is_not_asked_for_every_subscription(
    registrar: Registrar, platform: SmallPlatform, store: Store
) -> None:
    platform.tenants = [f"cust{number:02}" for number in range(30)]
    changes = registrar.plan().changes
    platform.replies = {EVENTS: (503, None), ASSETS: (503, None), PROVISIONING: (503, None)}
    results = registrar.apply(changes)
    reasons = {result.reason for result in results}
    assert (len(results), reasons) == (63, {"platform_failed", "not_tried"})
    assert platform.count(path="/topics/") <= 3 * 3 * OUTAGE_CALLS
    assert remembered(store) == {}


def test_a_stop_leaves_the_rest_untried(registrar_with: MakeRegistrar, platform: SmallPlatform) -> None:
    stop = threading.Event()
    registrar = registrar_with(stop=stop)
    changes = registrar.plan().changes
    stop.set()
    assert {result.reason for result in registrar.apply(changes)} == {"stopped"}
    assert platform.count(path="/topics/") == 0


def test_each_result_is_told_as_it_comes(registrar: Registrar) -> None:
    told: list[Applied] = []
    results = registrar.apply(registrar.plan().changes, told.append)
    assert told == results


def test_a_provisioned_tenant_becomes_an_active_one(registrar: Registrar, store: Store) -> None:
    registrar.apply(registrar.plan().changes)
    states = {row.tenant: row.state for row in store.registry.tenants()}
    assert states == {tenant: TenantState.ACTIVE for tenant in (HOST, CUSTAA, CUSTBB)}


def test_an_erased_tenant_is_left_out_and_said_so(registrar: Registrar, store: Store) -> None:
    store.registry.put_tenant(CUSTAA, TenantState.GONE)
    made = registrar.plan()
    assert made.erased == [CUSTAA]
    assert CUSTAA not in {change.subscription.tenant for change in made.changes}


def test_one_tenant_can_be_planned_alone(registrar: Registrar) -> None:
    assert {change.subscription.tenant for change in registrar.plan(CUSTBB).changes} == {CUSTBB}
    assert registrar.plan(Tenant("mindsphere", "custzz")).changes == []


def test_the_host_alone_needs_no_list(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.pages = lambda page: (403, refusal("forbidden"))
    assert {change.subscription.tenant for change in registrar.plan(HOST).changes} == {HOST}


def test_the_host_is_served_once_if_the_platform_lists_it_too(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.tenants = ["acmeop", "custaa"]
    assert [c.subscription.tenant for c in registrar.plan().changes].count(HOST) == 3


def test_the_list_is_read_page_by_page_with_the_hosts_token(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.tenants = [f"cust{number:03}" for number in range(250)]
    listed = registrar.tenants()
    assert (listed.names, listed.complete) == (tuple(platform.tenants), True)
    asked = [(call.tenant, call.path) for call in platform.calls if call.path.startswith(LIST_PATH)]
    assert asked == [("acmeop", f"{LIST_PATH}?page={page}&size=100") for page in range(3)]


def test_no_user_tenants_at_all_is_a_complete_list(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.tenants = []
    assert (registrar.tenants().names, registrar.tenants().complete) == ((), True)


def pages_of(*readings: list[list[str]], total: int | None = None) -> Callable[[int], Reply]:
    """The n-th reading of the list yields the n-th of these (the last one stays); each is its pages."""
    reading = iter(readings)
    current: list[list[str]] = []

    def reply(page: int) -> Reply:
        nonlocal current
        if page == 0:
            current = next(reading, current)
        names = [{"id": name} for name in current[page]] if page < len(current) else []
        count = sum(len(one) for one in current) if total is None else total
        numbers = {"size": 100, "totalElements": count, "totalPages": len(current), "number": page}
        return 200, {"userTenants": names, "page": numbers}

    return reply


def test_a_list_that_changes_while_it_is_read_is_read_once_more(
    registrar: Registrar, platform: SmallPlatform
) -> None:
    platform.pages = pages_of([["custaa"], ["custaa"]], [["custaa"], ["custbb"]])
    assert (registrar.tenants().names, registrar.tenants().complete) == (("custaa", "custbb"), True)


def test_a_list_that_keeps_changing_yields_all_that_was_seen_and_says_so(
    registrar: Registrar, platform: SmallPlatform
) -> None:
    platform.pages = pages_of([["custaa"], ["custaa"]], [["custbb"], ["custbb"]])
    listed = registrar.tenants()
    assert (set(listed.names), listed.complete) == ({"custaa", "custbb"}, False)


def test_a_list_with_fewer_names_than_it_counts_is_incomplete(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.pages = pages_of([["custaa"]], total=2)
    assert not registrar.plan().complete


def test_a_list_without_an_end_is_not_read_forever(registrar: Registrar, platform: SmallPlatform) -> None:
    numbers = {"size": 100, "totalElements": 10**6, "totalPages": 10**6}
    platform.pages = lambda page: (200, {"userTenants": [{"id": f"t{page}"}], "page": {**numbers, "number": page}})
    with pytest.raises(PlatformUnavailable) as caught:
        registrar.tenants()
    assert caught.value.reason == "tenant_list_too_long"
    assert platform.count("GET", LIST_PATH) == MAX_PAGES


def test_a_refused_list_is_an_error_of_the_whole(registrar: Registrar, platform: SmallPlatform) -> None:
    platform.pages = lambda page: (403, refusal("forbidden"))
    with pytest.raises(PlatformRefused, match="host tenant's token"):
        registrar.plan()


def test_without_credentials_there_is_nothing_to_register(store: Store) -> None:
    with pytest.raises(SettingsError, match="MDSP_KEY_STORE_CLIENT_ID"):
        build(Settings.from_environ({}), store)


def test_a_template_that_wants_our_own_address_needs_one(platform: SmallPlatform) -> None:
    environ = {**platform.environ(), "MDSP_URI_TEMPLATE": "{public}/{endpoint}"}
    mindsphere = Settings.from_environ(environ).mindsphere
    assert mindsphere
    assert webhook_uri(mindsphere, "https://me.example") == "https://me.example/notifications/mindsphere"
    with pytest.raises(SettingsError, match="public"):
        webhook_uri(mindsphere)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def registrar_at(emulator: Emulator, store: Store) -> Iterator[MakeRegistrar]:
    """Builds registrars of an emulator turned by knobs; afterwards it is as before."""
    built = []

    def make(
        *, knobs: dict[str, object] | None = None, stop: threading.Event | None = None, **environ: str
    ) -> Registrar:
        emulator.control("/knobs", {"EMU_MB_ACCEPT_PUT": "1", **(knobs or {})})
        settings = Settings.from_environ({**emulator.environment(), **environ})
        built.append(build(settings, store, stop=stop, jitter=lambda: 0.0))
        return built[-1]

    yield make
    for registrar in built:
        registrar.close()
    emulator.control("/reset", {})


def at_the_broker(emulator: Emulator) -> set[tuple[str, str]]:
    """(tenant, address) of every subscription of a topic every tenant has."""
    client = Client(emulator.credentials())
    try:
        answers = {name: client.subscription("GET", EVENTS, name) for name in ("acmeop", "custaa", "custbb")}
        return {(name, answer.json()["uri"]) for name, answer in answers.items() if answer.status_code == 200}
    finally:
        client.close()


@pytest.mark.parametrize(
    ("knobs", "environ"),
    [
        ({}, {}),
        ({"EMU_MB_ACCEPT_PUT": "0"}, {}),
        ({}, {"MDSP_BROKER_PATH": "/api/messagebroker/v5"}),
        ({}, {"MDSP_URI_TEMPLATE": "{gateway}/api/{app}-{host}/{version}/{endpoint}"}),
    ],
    ids=["as documented", "by POST only", "version 5", "full version in the address"],
)
def test_the_emulated_broker_has_what_was_registered(
    registrar_at: MakeRegistrar, emulator: Emulator, knobs: dict[str, object], environ: dict[str, str]
) -> None:
    registrar = registrar_at(knobs=knobs, **environ)
    made = registrar.plan()
    results = registrar.apply(made.changes)
    assert len(results) == 16 and [result.detail for result in results if not result.ok] == []
    uri = made.changes[0].subscription.uri
    assert at_the_broker(emulator) == {(name, uri) for name in ("acmeop", "custaa", "custbb")}


def test_an_endpoint_that_is_not_registered_is_refused_by_name(registrar_at: MakeRegistrar) -> None:
    registrar = registrar_at(MDSP_URI_TEMPLATE="{gateway}/api/other-{host}/{major}/{endpoint}")
    results = registrar.apply(registrar.plan(HOST).changes)
    assert {result.reason for result in results} == {"subscription_invalid"}
    assert "registered" in results[0].detail


def test_wrong_credentials_are_named_by_the_emulated_token_manager(registrar_at: MakeRegistrar) -> None:
    with pytest.raises(PlatformRefused, match="only Read and Write credentials work") as caught:
        registrar_at(MDSP_KEY_STORE_CLIENT_SECRET="outdated").probe()
    assert caught.value.upstream_status == 401


def test_a_throttled_token_manager_is_away_for_those_who_hold_no_token(
    registrar_at: MakeRegistrar, emulator: Emulator
) -> None:
    impatient = threading.Event()
    impatient.set()
    holder, stranger = registrar_at(), registrar_at(stop=impatient)
    holder.probe()
    emulator.control("/fault", {"name": "token-throttle"})
    with pytest.raises(PlatformUnavailable) as caught:
        stranger.probe()
    assert caught.value.reason == "throttled" and caught.value.retry_after_seconds
    assert all(result.ok for result in holder.apply(holder.plan(HOST).changes))
