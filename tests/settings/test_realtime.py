"""C8Y_REALTIME: read completely, or refused with every problem and its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from subscriber.errors import SettingsError
from subscriber.platforms.smartrest.realtime import Channel, Realtime, Template
from subscriber.settings import Settings
from subscriber.settings.realtime import realtime_conversations

ROOT = Path(__file__).parent.parent.parent
X_ID = "com.acme.gw-v3"


def conversation(**changes: Any) -> dict[str, Any]:
    made = {"tenant": "t402119", "path": "/notification/operations", "x_id": X_ID, "channels": ["/5010"]}
    return {name: value for name, value in (made | changes).items() if value is not None}


def template(**changes: Any) -> dict[str, Any]:
    made = {"id": "500", "values": ["id", "device"]}
    return {name: value for name, value in (made | changes).items() if value is not None}


def read(*conversations: object) -> tuple[Realtime, ...]:
    return realtime_conversations(json.dumps(conversations))


def problem(*conversations: object) -> str:
    with pytest.raises(ValueError) as caught:
        read(*conversations)
    return str(caught.value)


def test_the_least_that_can_be_said() -> None:
    assert read(conversation()) == (
        Realtime(tenant="t402119", path="/notification/operations", x_id=X_ID, channels=(Channel(name="/5010"),)),
    )


def test_all_that_can_be_said() -> None:
    mapped = template(
        x_id="com.acme.child-v1",
        id="600",
        values={"id": "$.data.id", "status": "$.data.status", "action": "$.realtimeAction", "at": "$.data.time"},
        base="$",
        condition="$.data.severity",
        topic="alarms",
        source="id",
        action="action",
        time="at",
        key=["id", "status"],
    )
    channels = [{"name": "/alarms/208", "x_ids": ["com.acme.child-v1"]}, "/events/*"]
    (found,) = read(conversation(path="/cep/realtime", channels=channels, templates=[mapped, template(id="501")]))
    assert found.channels == (Channel(name="/alarms/208", x_ids=("com.acme.child-v1",)), Channel(name="/events/*"))
    assert found.templates == (
        Template(
            x_id="com.acme.child-v1",
            id="600",
            columns=("id", "status", "action", "at"),
            paths=("$.data.id", "$.data.status", "$.realtimeAction", "$.data.time"),
            base="$",
            condition="$.data.severity",
            topic="alarms",
            source="id",
            action="action",
            time="at",
            key=("id", "status"),
        ),
        Template(x_id=X_ID, id="501", columns=("id", "device")),
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"tenant": None}, "[0] lacks tenant"),
        ({"tenant": "a/b"}, "[0].tenant must be the name of a tenant"),
        ({"path": "/s", "channels": ["/alarms/1"]}, "[0].path must be one of /notification/operations"),
        ({"x_id": "two words"}, "[0].x_id must be an X-Id"),
        ({"x_id": 7}, "[0].x_id must be an X-Id"),
        ({"colour": "red"}, "[0] has a member 'colour'"),
        ({"channels": []}, "[0].channels must have 1 to"),
        ({"channels": "/5010"}, "[0].channels must be a list"),
        ({"channels": ["5010"]}, "[0].channels[0] must be / and the id of an agent"),
        ({"channels": ["/alarms/1"]}, "[0].channels[0] must be / and the id of an agent"),
        ({"channels": ["/1", "/1"]}, "[0].channels has /1 2 times"),
        ({"channels": [{"x_ids": []}]}, "[0].channels[0] lacks name"),
        ({"channels": [{"name": "/1", "x_ids": ["a,b"]}]}, "[0].channels[0].x_ids[0] must be an X-Id"),
        ({"path": "/notification/realtime"}, "[0].channels[0] must be /kind/device or /kind/*"),
        ({"templates": {}}, "[0].templates must be a list"),
        ({"templates": [7]}, "[0].templates[0] must be an object"),
        ({"templates": [template(id=None)]}, "[0].templates[0] lacks id"),
        ({"templates": [template(id="x")]}, "[0].templates[0].id must be a message identifier"),
        ({"templates": [template(id=500)]}, "[0].templates[0].id must be a message identifier"),
        ({"templates": [template(id="86")]}, "[0].templates[0] has id 86, which the conversation itself uses"),
        ({"templates": [template(values=[])]}, "[0].templates[0].values must name 1 to 100 columns"),
        ({"templates": [template(values=["a", "a"])]}, "[0].templates[0].values names a column twice"),
        ({"templates": [template(values=[""])]}, "[0].templates[0].values[0] must be the name of a column"),
        ({"templates": [template(values={})]}, "[0].templates[0].values must name 1 to 100 columns"),
        ({"templates": [template(values={"": "$.a"})]}, "[0].templates[0].values has a column without a usable name"),
        ({"templates": [template(values="id")]}, "[0].templates[0].values must be a list"),
        ({"templates": [template(values={"a": 7})]}, "[0].templates[0].values.a must be a JSON path"),
        ({"templates": [template(values={"a": "$.b[?(@.c)]"})]}, "a JSON path without filters"),
        ({"templates": [template(source="place")]}, "[0].templates[0].source must be a column of values"),
        ({"templates": [template(key=["id", "x"])]}, "[0].templates[0].key[1] must be a column of values"),
        ({"templates": [template(topic="two words")]}, "[0].templates[0].topic must be a word"),
        ({"templates": [template(base="$.data")]}, "values without their JSON paths"),
        ({"templates": [template(), template()]}, "[0].templates give 500 of X-Id com.acme.gw-v3 2 times"),
        ({"templates": [template(x_id="other")]}, "[0].templates name X-Id other, which is neither"),
        (
            {"templates": [template(), template(id="501", values={"id": "$.id"})]},
            "have JSON paths for some of X-Id com.acme.gw-v3",
        ),
    ],
)
def test_a_problem_says_where_and_what_is_wanted(changes: dict[str, Any], wanted: str) -> None:
    found = problem(conversation(**changes))
    assert wanted in found and found.count(";") == 0


def test_all_problems_are_told_at_once() -> None:
    found = problem(conversation(tenant="", path=""), "text", conversation(templates=[template(id="x", key=7)]))
    for place in ("[0].tenant", "[0].path", "[1] must be an object", "[2].templates[0].id", "[2].templates[0].key"):
        assert place in found


def test_a_conversation_is_held_once() -> None:
    assert "given 2 times" in problem(conversation(), conversation(channels=["/5011"]))
    assert len(read(conversation(), conversation(path="/cep/realtime", channels=["/alarms/1"]))) == 2


@pytest.mark.parametrize(("text", "wanted"), [("[", "must be JSON"), ("{}", "it must be a list"), ("7", "a list")])
def test_what_is_no_list_is_refused(text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        realtime_conversations(text)


def test_a_strange_member_is_not_repeated_at_length() -> None:
    assert len(problem(conversation(**{"x" * 5000: 1}))) < 300


def test_the_settings_carry_it_and_show_it_in_short() -> None:
    platform = {"C8Y_BASEURL": "http://c", "C8Y_TENANT": "t", "C8Y_USER": "u", "C8Y_PASSWORD": "p"}
    settings = Settings.from_environ(platform | {"C8Y_REALTIME": json.dumps([conversation()])})
    assert settings.realtime == read(conversation())
    shown = {name: value for name, value, _, _ in settings.table()}
    assert shown["C8Y_REALTIME"] == "t402119/notification/operations com.acme.gw-v3"
    assert Settings.from_environ({}).realtime == ()


def test_a_long_value_is_not_repeated_in_its_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"C8Y_REALTIME": json.dumps([conversation(tenant="canary!" * 40)])})
    assert caught.value.problems == ["C8Y_REALTIME: its value is not usable: [0].tenant must be the name of a tenant"]


def test_conversations_without_a_platform_are_a_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ({"C8Y_REALTIME": json.dumps([conversation()])})
    assert caught.value.problems == ["C8Y_REALTIME is set, but C8Y_BASEURL is not"]


def test_what_the_documents_show_can_be_used() -> None:
    readme = re.findall(r"C8Y_REALTIME=(\[.*?\}\]\}\])", (ROOT / "README.md").read_text(), re.DOTALL)
    walk = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "smartrest.md").read_text(), re.DOTALL)
    assert len(readme) == len(walk) == 1
    for text in (*readme, *walk):
        (found,) = realtime_conversations(text)
        assert found.templates[0].key and found.registrable(found.x_id)
