"""The list of notifications and each of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from subscriber.access import Operator
from subscriber.errors import NotFound
from subscriber.model import Dead, Done, State
from subscriber.store import RowFilter
from subscriber.web.console.inbox import ROWS, SHOWN_BYTES, curl_of, find, payload_of
from subscriber.web.console.sight import Sight
from tests.store.making import START, key, lease_all, lease_one, notification, several
from tests.web.console.world import ACME, DEVICES, OTHER, OURS, World, asset

ONE = f"inbox/mindsphere/custaa/{key('one').hex()}"


def listed(world: World, path: str) -> list[str]:
    """Keys on a page, in its order."""
    text = world.get(path).text
    return [part.split('"')[0].rsplit("/", 1)[1] for part in text.split('<a href="./inbox/')[1:]]


def test_filters_are_those_of_the_contract(world: World) -> None:
    world.store.inbox.add(
        [
            notification("a", source="s1"),
            notification("b", source="s2", topic="t2"),
            notification("c", tenant=OTHER, received_at=START + timedelta(hours=1)),
            notification("d", tenant=DEVICES, topic="alarms"),
        ]
    )
    world.store.inbox.settle(lease_all(world.store, 1)[0], Dead("why"))
    (dead,) = world.store.reports.rows(RowFilter(state=State.DEAD), 5).rows
    a, b, c, d = (key(name).hex() for name in "abcd")
    assert listed(world, "inbox") == [d, c, b, a]
    assert listed(world, "inbox?platform=cumulocity") == [d]
    assert listed(world, "inbox?platform=mindsphere&since=2026-03-01T12:30") == [c]
    assert listed(world, "inbox?platform=pelion") == listed(world, "inbox?platform=pelion&tenant=custaa") == []
    assert listed(world, "inbox?tenant=custbb") == listed(world, "inbox?since=2026-03-01T12:30") == [c]
    assert listed(world, "inbox?topic=t2") == listed(world, "inbox?source=s2") == [b]
    assert listed(world, "inbox?until=2026-03-01T12:30") == [d, b, a]
    assert listed(world, "inbox?state=dead") == listed(world, "inbox?reason=why") == [dead.notification.key.hex()]
    assert listed(world, "inbox?state=done") == []


@pytest.mark.parametrize(
    "query", ["state=odd", "platform=odd", "since=yesterday", "tenant=/", "before=1", "before=" + "x" * 75]
)
def test_what_cannot_be_looked_for_is_said_to_be_so(world: World, query: str) -> None:
    assert world.get(f"inbox?{query}").status_code == 400


def test_it_goes_on_where_it_ended_with_the_same_filters(world: World) -> None:
    world.store.inbox.add(several(ROWS + 3, topic="t1"))
    world.store.inbox.add(several(5, prefix="o", topic="t2"))
    text = world.get("inbox?topic=t1").text
    older = text.split('<a class="button" href="./')[1].split('"')[0].replace("&amp;", "&")
    assert older.startswith("inbox?topic=t1&before=")
    assert len(listed(world, "inbox?topic=t1")) == ROWS
    assert len(listed(world, older)) == 3


def test_it_says_how_far_back_it_searched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.store.inbox.add([notification("rare", topic="rare")])
    world.store.inbox.add(several(20))
    assert "that is all there is" in world.get("inbox?topic=rare").text
    monkeypatch.setattr("subscriber.store.paging.SCAN_ROWS", 10)
    text = world.get("inbox?topic=rare").text
    assert "Searched back to" in text and "Search further back" in text


def test_one_is_shown_with_what_became_of_it(world: World) -> None:
    world.store.inbox.add([asset("one", ACME, START)])
    world.store.inbox.settle(lease_one(world.store), Done(), frozenset({"forward", "publish"}))
    text = world.get(ONE).text
    for shown in ("state done", "pump-0017", "forward, publish", "<dt>Attempts</dt><dd>1</dd>", "Pump &lt;3&gt;"):
        assert shown in text, shown
    assert "  &#34;action&#34;: &#34;UPDATE&#34;" in text


def test_why_it_waits_is_told(world: World) -> None:
    world.store.inbox.add([notification()])
    assert "due since" in world.get(ONE).text


@pytest.mark.parametrize("path", [ONE, "inbox/mindsphere/custaa/xyz", "inbox/pelion/custaa/00"])
def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    assert world.get(path).status_code == world.post(f"{path}/replay").status_code == 404


def test_a_key_that_is_no_key_is_not_found(world: World) -> None:
    world.store.inbox.add([notification()])
    sight = Sight(Operator(name="ann", tenants=None, expires_at=START), world.store)
    assert find(sight, ACME, key("one").hex()).notification.key == key("one")
    with pytest.raises(NotFound):
        find(sight, ACME, "not hex")


def test_a_payload_is_indented_where_it_is_json_and_cut_where_it_is_long() -> None:
    assert payload_of(notification(body=b'{"a":[1]}')) == ('{\n  "a": [\n    1\n  ]\n}', False)
    assert payload_of(notification(body=b"\xff<")) == ("\ufffd<", False)
    assert payload_of(notification(body=None)) == ("", False)
    text, cut = payload_of(notification(body=b'"' + b"x" * SHOWN_BYTES + b'"'))
    assert (len(text), cut) == (SHOWN_BYTES, True)


def test_the_command_fetches_the_same_from_the_tenant_api(world: World) -> None:
    given = notification()
    with world.app.test_request_context(base_url="https://ops.example"):
        assert curl_of("", given) == (
            'curl -H "Authorization: Bearer $TOKEN" '
            f"https://ops.example/api/notifications/mindsphere/custaa/{given.key.hex()}"
        )
        assert " https://here.example/api/" in curl_of("https://here.example/", given)
        assert "ops.example" in curl_of("ngrok", given)


def test_one_is_handled_again(world: World) -> None:
    world.store.inbox.add([notification()])
    world.store.inbox.settle(lease_one(world.store), Done())
    answer = world.post(f"{ONE}/replay")
    assert "put back to be handled again" in answer.text
    assert f'href="../../../../{ONE}"' in answer.text
    row = world.store.reports.row(ACME, key("one"))
    assert row and row.state is State.PENDING
    assert world.actions() == [("ann@acmeop.example (acmeop)", "replay", f"{ACME}: {key('one').hex()}, 1 moved")]
    assert "Nothing was changed" in world.post(f"{ONE}/replay").text


def test_another_site_replays_nothing(world: World) -> None:
    world.store.inbox.add([notification()])
    world.store.inbox.settle(lease_one(world.store), Done())
    assert world.post(f"{ONE}/replay", headers={**OURS, "Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert world.store.reports.counts().pending == 0 and world.actions() == []
