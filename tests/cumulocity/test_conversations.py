"""What a person does about conversations: templates are registered, stopped sessions begun anew, sessions ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from subscriber.cumulocity.conversations import ConversationRegistrar
from subscriber.cumulocity.directory import Directory
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.model import Tenant
from subscriber.platforms.cumulocity_api import ServiceUser
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.registration.plan import Change
from subscriber.store import Store, TenantState
from subscriber.transport import Transport
from tests.channels.small_realtime import PASSWORD, TENANT, USER, SmallRealtime, small_realtime
from tests.channels.talking import Talking, conversation, gaps, wait_for

SMARTREST_TENANT = Tenant("smartrest", TENANT)
Make = Callable[..., ConversationRegistrar]


@pytest.fixture
def server() -> Iterator[SmallRealtime]:
    with small_realtime() as server:
        yield server


@pytest.fixture
def make(server: SmallRealtime, store: Store) -> Iterator[Make]:
    made: list[ConversationRegistrar] = []

    def make(*realtime: Realtime, stop: threading.Event | None = None) -> ConversationRegistrar:
        user = ServiceUser(tenant=TENANT, name=USER, password=PASSWORD)
        transport = Transport(server.url, pause=lambda _: True, jitter=lambda: 0.0, attempts=1)
        registrar = ConversationRegistrar(
            realtime or (conversation("").realtime,),
            ServiceGateway(Directory(lambda: (user,)), transport),
            store,
            stop=stop or threading.Event(),
            clock=lambda: datetime.now(UTC),
        )
        made.append(registrar)
        return registrar

    yield make
    for registrar in made:
        registrar.close()


def shown(changes: Iterator[Change]) -> list[tuple[str, str, str]]:
    return [(change.subscription.topic, change.subscription.subscriber, change.why) for change in changes]


def test_templates_that_are_there_are_no_change(make: Make) -> None:
    registrar = make()
    assert shown(registrar.changes(registrar.survey())) == []
    assert [finding.ok for finding in registrar.probe()] == [True]


def test_templates_that_are_lacking_are_planned_and_registered_once(make: Make, server: SmallRealtime) -> None:
    server.templates.clear()
    registrar = make()
    (change,) = registrar.changes(registrar.survey())
    assert (shown(iter([change])), registrar.loses(change)) == ([("templates", "com.acme.gw-v3", "new")], "")
    assert not server.templates
    (finding,) = registrar.probe()
    assert not finding.ok and "register --apply" in finding.detail
    assert registrar.run().report.ok
    assert server.templates == {"com.acme.gw-v3"}
    assert shown(registrar.changes(registrar.survey())) == []


def test_nobody_is_asked_once_it_has_to_stop(server: SmallRealtime, make: Make) -> None:
    stop = threading.Event()
    stop.set()
    registrar = make(stop=stop)
    assert shown(registrar.changes(registrar.survey())) == [("templates", "com.acme.gw-v3", "unsure")]
    assert server.requests == []


def test_templates_that_nobody_knows_are_told_with_their_cause(make: Make, server: SmallRealtime) -> None:
    server.templates.clear()
    registrar = make(conversation("", templates=()).realtime)
    report = registrar.register(SMARTREST_TENANT)
    (failure,) = report.failures
    assert failure.reason == "no_template" and "none are configured to register" in failure.detail
    (finding,) = registrar.probe()
    assert not finding.ok


def test_a_refused_password_is_told(make: Make, server: SmallRealtime) -> None:
    server.password = "other"
    report = make().run().report
    assert [failure.reason for failure in report.failures] == ["credentials_refused"]


def test_a_stopped_session_is_planned_and_begun_anew_by_the_worker(
    make: Make, server: SmallRealtime, store: Store
) -> None:
    registrar = make()
    with Talking(store, [conversation(server.url)]) as worker:
        wait_for(lambda: server.held)
        server.answer(b"86,,,none")
        wait_for(lambda: [row.state for row in store.registry.channels("smartrest")] == ["stopped"])
        assert [finding.ok for finding in registrar.findings()] == [False]
        assert shown(registrar.changes(registrar.survey())) == [("session", "com.acme.gw-v3", "stopped")]
        assert registrar.run().report.ok
        wait_for(lambda: worker.states() == {"connected": 1} and server.held)
        wait_for(lambda: gaps(store))


def test_unregistering_ends_the_session_at_the_platform_and_forgets_it(
    make: Make, server: SmallRealtime, store: Store
) -> None:
    registrar = make()
    assert list(registrar.registered()) == []
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
    (name,) = server.clients
    assert shown(registrar.registered()) == [("session", "com.acme.gw-v3", "asked")]
    assert registrar.unregister(SMARTREST_TENANT).ok
    assert server.requests[-1] == f"84,{name}".encode() and not server.clients
    assert list(registrar.registered()) == [] and store.registry.channels("smartrest") == []
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
    assert server.requests.count(b"80,true") == 2 and not gaps(store)


def test_a_session_that_cannot_be_ended_is_told_and_kept(make: Make, server: SmallRealtime, store: Store) -> None:
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
    server.password = "other"
    registrar = make()
    assert registrar.unregister().outcomes == {"stale": 1}
    assert list(registrar.registered())


@pytest.mark.parametrize("said", ["86,,0,handshake", "45,1,no such client", "86,,,none"])
def test_a_session_that_the_platform_has_forgotten_can_be_unregistered(
    make: Make, server: SmallRealtime, store: Store, said: str
) -> None:
    with Talking(store, [conversation(server.url)]):
        wait_for(lambda: server.held)
    server.restart()
    server.unknown_client = said
    registrar = make()
    assert registrar.unregister().ok
    assert list(registrar.registered()) == []


def test_a_tenant_that_was_erased_is_left_out(make: Make, store: Store) -> None:
    store.registry.put_tenant(SMARTREST_TENANT, TenantState.GONE)
    registrar = make()
    assert list(registrar.survey().verdict.erased) == [SMARTREST_TENANT]
    assert list(registrar.changes(registrar.survey())) == []
