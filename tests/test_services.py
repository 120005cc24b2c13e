"""The composition root: what a process is built of and what a worker does beside handling."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

import migrations
from emulator.processes import wait_until
from subscriber import services
from subscriber.errors import SchemaOutdated, SettingsError, StoreBusy
from subscriber.metrics import Metrics
from subscriber.model import Identity, Notification, State, Tenant
from subscriber.services import Services, every, retention
from subscriber.settings import Settings
from subscriber.store import RowFilter, open_store
from subscriber.web import create_app
from tests.cli.conftest import CREDENTIALS
from tests.signing import KeyServer, bearer, broker_claims, jwk, mint
from tests.web.serving import ROOT

START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


class World:
    """A worker's services over a store whose clock the test moves."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        url = f"sqlite:///{folder}/inbox.db"
        migrations.apply(url)
        built = services.build(Settings.from_environ({"DATABASE_URL": url}))
        built.store.close()
        store = open_store(url, clock=lambda: self.now)
        self.services = Services(settings=built.settings, store=store, metrics=Metrics(), intake=built.intake)

    def beat_once(self) -> None:
        stop = threading.Event()
        stop.set()
        self.services._heartbeat()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.services.store.close()


def notification(received_at: datetime) -> Notification:
    return Notification(
        tenant=Tenant("mindsphere", "custaa"),
        key=b"k" * 22,
        identity=Identity.TIMED,
        topic="t",
        received_at=received_at,
        body=b"{}",
    )


def test_a_database_without_its_schema_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(SchemaOutdated, match="migrate"):
        services.build(Settings.from_environ({"DATABASE_URL": f"sqlite:///{tmp_path}/empty.db"}))


def test_a_worker_handles_what_was_accepted_until_it_is_told_to_stop(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    built = services.build(Settings.from_environ({"DATABASE_URL": url}))
    built.store.inbox.add([notification(services.utc_now())])
    stop = threading.Event()
    worker = threading.Thread(target=built.work, args=(stop,))
    worker.start()
    reader = open_store(url)
    wait_until("the handling", lambda: reader.reports.counts().done == 1, 20)
    stop.set()
    worker.join(20)
    assert not worker.is_alive()
    (row,) = reader.reports.rows(RowFilter(), 10).rows
    assert (row.state, row.attempts) == (State.DONE, 1)
    reader.close()


def test_an_absence_longer_than_the_broker_s_patience_is_recorded_as_a_gap(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.beat_once()
    world.now = START + timedelta(days=3)
    world.beat_once()
    assert world.services.store.registry.gaps() == []
    world.now = START + timedelta(days=9)
    world.beat_once()
    (gap,) = world.services.store.registry.gaps()
    assert (gap.lost_from, gap.lost_until) == (START + timedelta(days=3), START + timedelta(days=5))
    assert [record.action for record in caplog.records if record.levelname == "ERROR"] == ["gap"]  # type: ignore[attr-defined]


def test_the_first_beat_remembers_since_when_the_credentials_are_used(tmp_path: Path) -> None:
    environ = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db",
        "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
        "MDSP_KEY_STORE_CLIENT_SECRET": "canary-s3cret",
        "MDSP_OS_VM_APP_NAME": "alarmapi",
        "MDSP_OS_VM_APP_VERSION": "v1.4.2",
    }
    migrations.apply(environ["DATABASE_URL"])
    built = services.build(Settings.from_environ(environ))
    registry = built.store.registry
    assert registry.credentials_since("acmeop-alarmapi-v1.4.2") is None
    built._heartbeat()
    since = registry.credentials_since("acmeop-alarmapi-v1.4.2")
    built._heartbeat()
    assert since and registry.credentials_since("acmeop-alarmapi-v1.4.2") == since
    built.store.close()
    assert not any(b"canary-s3cret" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_beat_counts_what_was_refused_since_the_last(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/inbox.db"}
    migrations.apply(environ["DATABASE_URL"])
    built = services.build(Settings.from_environ(environ))
    built.metrics.refused("mindsphere", "expired")
    for _ in range(2):
        built._heartbeat()
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    assert [(event, count) for _, event, count in built.store.reports.minutes(long_ago)] == [("refused", 1)]
    built.store.close()


def test_keys_outlive_the_broker_s_retention_also_in_the_defaults() -> None:
    wanted = retention(Settings.from_environ({}))
    assert wanted.horizon == timedelta(days=7) == wanted.tombstone


def test_only_one_process_prunes_at_a_time(world: World) -> None:
    store = world.services.store
    store.inbox.add([notification(START)])
    world.now = START + timedelta(days=200)
    assert store.registry.acquire("prune", "another", 60) is not None
    world.services._prune()
    store.registry.release("prune", "another")
    world.services._prune()
    assert store.registry.acquire("prune", "another", 60) is not None


def test_a_job_that_fails_for_a_known_reason_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    runs = []

    def job() -> None:
        runs.append(1)
        if len(runs) == 3:
            stop.set()
        raise StoreBusy("later")

    every(0.0, stop, "job", job)
    assert len(runs) == 3
    assert {record.reason for record in caplog.records} == {"store_busy"}  # type: ignore[attr-defined]


def test_metrics_tell_of_subscriptions_and_tenants_by_state(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    with closing(open_store(url)) as store:
        metrics = Metrics()
        services.watch_registration(store, metrics, ("mindsphere", "cumulocity"))
        store.registry.put_tenant(Tenant("mindsphere", "custaa"), "leaving")
        store.registry.put_tenant(Tenant("cumulocity", "t123"), "active")
        shown = metrics.render().decode()
    for name, mindsphere, cumulocity in (
        ("tenants_leaving", 1, 0),
        ("tenants_active", 0, 1),
        ("subscriptions_stale", 0, 0),
        ("reconciled_timestamp_seconds", 0, 0),
    ):
        assert f'subscriber_{name}{{platform="mindsphere"}} {mindsphere}.0' in shown
        assert f'subscriber_{name}{{platform="cumulocity"}} {cumulocity}.0' in shown
    assert "custaa" not in shown and "t123" not in shown


def test_metrics_tell_of_the_platforms_that_are_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    cumulocity = {"C8Y_BASEURL": "https://acme.example", "C8Y_TENANT": "t1", "C8Y_USER": "u", "C8Y_PASSWORD": "p"}
    pelion = {"PELION_CHANNELS": '[{"name":"cellar","api_key":"ak_1x","mode":"websocket"}]'}
    built = services.build(Settings.from_environ({"DATABASE_URL": url, **cumulocity, **pelion}))
    with closing(built.store):
        shown = built.metrics.render().decode()
    for platform in ("cumulocity", "pelion"):
        assert f'subscriber_subscriptions_failed{{platform="{platform}"}} 0.0' in shown
    assert "mindsphere" not in shown and "cellar" not in shown


def test_the_pages_on_metrics_name_those_there_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    built = services.build(Settings.from_environ({"DATABASE_URL": url, **CREDENTIALS}))
    with closing(built.store):
        built.metrics.watch_channels(lambda: {("cumulocity", "connected"): 1})
        create_app(built)
        shown = built.metrics.render().decode()
    names = {name for name in re.findall(r"# HELP (\w+)", shown) if not name.endswith("_created")}
    assert set(re.findall(r"`(subscriber_\w+)`", (ROOT / "docs/metrics.md").read_text())) == names
    assert set(re.findall(r"subscriber_\w+", (ROOT / "docs/alerts.yml").read_text())) <= names
    rules = yaml.safe_load((ROOT / "docs/alerts.yml").read_text())["groups"][0]["rules"]
    assert all(rule["expr"] and rule["annotations"]["next"] for rule in rules)


def test_a_hook_that_cannot_be_called_is_told_before_a_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "team_with_a_bad_hook.py").write_text(
        "from subscriber.handlers import Route, keep\nroutes = [Route(handler=keep)]\non_tenant = 'nobody'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    built = services.build(Settings.from_environ({"DATABASE_URL": url, "HANDLERS": "team_with_a_bad_hook:routes"}))
    with closing(built.store), pytest.raises(SettingsError, match="on_tenant"):
        built.work(threading.Event())


def test_the_gauges_of_one_scrape_share_a_reading() -> None:
    now, readings = [0.0], iter([{"a": 1}, {"a": 2}])
    tally = services.Tally(lambda: next(readings), lambda: now[0])
    assert (tally.count("a"), tally.count("b")) == (1.0, 0.0)
    now[0] += services.TALLY_SECONDS
    assert tally.count("a") == 2.0


MINDSPHERE = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "secret",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}
OTHER_ISSUER = {
    "AUTH_ISSUER": "https://id.example/oauth",
    "AUTH_KEYS_URL": "https://id.example/keys",
    "AUTH_HOST_TENANT": "owner",
}


@pytest.mark.parametrize(
    ("environ", "host", "own_zones"),
    [(MINDSPHERE, "acmeop", True), (OTHER_ISSUER, "owner", False), (MINDSPHERE | OTHER_ISSUER, "owner", False)],
)
def test_people_are_known_by_the_issuer_of_the_settings(
    tmp_path: Path, environ: dict[str, str], host: str, own_zones: bool
) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    aliases = {"TENANT_ALIASES": '{"pelion/fleet":"custaa"}'}
    built = services.build(Settings.from_environ({"DATABASE_URL": url, **environ, **aliases}))
    with closing(built.store):
        assert built.people is not None
        rules = built.people.rules
    assert (rules.host_tenant, rules.own_zones) == (host, own_zones)
    assert rules.aliases == {Tenant("pelion", "fleet"): "custaa"}


def test_without_an_issuer_nobody_is_known(world: World) -> None:
    assert services.people(world.services.settings, None, world.services.store, Metrics()) is None


def test_tokens_of_another_issuer_let_in_whatever_their_zone_is_called(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/inbox.db"
    migrations.apply(url)
    with KeyServer() as keys:
        keys.publish([jwk()], "whatever")
        issuer = {"AUTH_ISSUER": "https://id.example/oauth", "AUTH_KEYS_URL": keys.keys_url("whatever")}
        environ = {"DATABASE_URL": url, **issuer, "AUTH_HOST_TENANT": "owner"}
        built = services.build(Settings.from_environ(environ))
        with closing(built.store):
            assert built.people is not None
            scopes = ["subscriber.operate", "subscriber.read"]
            token = bearer(mint(broker_claims("https://id.example/oauth", ten="owner", scope=scopes)))
            assert built.people.operator(token).tenants is None
            assert built.people.reader(token).tenants == (Tenant("mindsphere", "owner"),)
