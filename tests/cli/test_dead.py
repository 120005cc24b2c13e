"""`dead`: lists and shows dead letters, and reads one again."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from subscriber.model import Tenant
from subscriber.store import Store
from tests.cli.conftest import TOPIC, Run, letter

TRUSTED = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


def delivery(*tenants: str) -> bytes:
    change = {"id": "a1", "resource": "ASSET", "action": "UPDATE", "timestamp": "2026-01-05T12:00:00.000Z"}
    return orjson.dumps({"header": {"topic": TOPIC, "tenantContext": tenants}, "asset": change})


def only_id(store: Store) -> str:
    return str(store.reports.dead_letters(None, 2)[0].id)


def test_dead_letters_are_listed_without_their_bodies(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(b"{")])
    listed = run("dead", "list", "--json")
    assert [(row["reason"], row["detail"], row["count"]) for row in listed.objects] == [("json", "not JSON", 1)]
    assert "body" not in listed.objects[0]
    assert run("dead", "list", "--json", "--tenant", "custbb").out == ""
    assert "not JSON" in run("dead", "list").out


def test_no_dead_letters_are_good_news_for_people(run: Run, store: Store) -> None:
    assert run("dead", "list").out == "No dead letters.\n"


def test_a_dead_letter_is_shown_with_its_body(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(b'{"half')])
    shown = run("dead", "show", only_id(store), "--tenant", "custaa", "--json").objects[0]
    assert shown["body"] == '{"half'


def test_a_body_that_is_no_text_is_shown_as_base64(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(b"\xff\x00")])
    shown = run("dead", "show", only_id(store), "--tenant", "custaa", "--json").objects[0]
    assert shown["body_base64"] == "/wA="


def test_a_dead_letter_of_another_tenant_is_not_found(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(b"{")])
    for verb in ("show", "replay"):
        result = run("dead", verb, only_id(store), "--tenant", "custbb")
        assert (result.code, "has no dead letter" in result.err) == (1, True)


def test_a_letter_that_can_be_read_by_now_is_accepted_once(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(delivery("custaa"))])
    first = run("dead", "replay", only_id(store), "--tenant", "custaa", "--json").objects[0]
    again = run("dead", "replay", only_id(store), "--tenant", "custaa", "--json").objects[0]
    assert (first["new"], first["duplicate"]) == (1, 0)
    assert (again["new"], again["duplicate"]) == (0, 1)


def test_a_letter_is_read_again_for_its_own_tenant_alone(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(delivery("custaa", "custbb"))])
    assert run("dead", "replay", only_id(store), "--tenant", "custaa", "--json").objects[0]["new"] == 1
    assert store.reports.counts(Tenant("mindsphere", "custbb")).pending == 0


def test_a_letter_of_a_trusted_sender_is_read_again_for_all_it_names(
    run: Run, store: Store, environ: dict[str, str]
) -> None:
    environ.update(TRUSTED)
    store.inbox.add([], [letter(delivery("custaa", "custbb"), tenant=Tenant("mindsphere", "core"))])
    result = run("dead", "replay", only_id(store), "--tenant", "core")
    assert result.out == "Read again: 2 new.\n"


def test_a_letter_that_is_still_unreadable_stays_dead(run: Run, store: Store) -> None:
    store.inbox.add([], [letter(b"{")])
    result = run("dead", "replay", only_id(store), "--tenant", "custaa")
    assert result.code == 1
    assert result.err.startswith("error: still not readable: ")


def test_a_letter_without_a_body_cannot_be_read_again(run: Run, store: Store, tmp_path: Path) -> None:
    store.inbox.add([], [letter(None)])
    result = run("dead", "replay", only_id(store), "--tenant", "custaa")
    assert (result.code, "refused the delivery unread" in result.err) == (1, True)
    assert run("dead", "show", only_id(store), "--tenant", "custaa", "--json").objects[0]["body"] is None


@pytest.mark.parametrize("platform", ["cumulocity", "smartrest", "pelion"])
def test_a_letter_that_no_codec_reads_alone_is_said_to_be_so(run: Run, store: Store, platform: str) -> None:
    store.inbox.add([], [letter(b"{}", tenant=Tenant(platform, "t1"))])
    result = run("dead", "replay", only_id(store), "--tenant", f"{platform}/t1")
    assert result.code == 1
    assert result.err == f"error: deliveries of {platform} cannot be read again one by one\n"
