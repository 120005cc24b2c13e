"""How results look: at 80 columns, in JSON lines, and with text from strangers in them."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from subscriber.cli.terminal import JsonLines, Output, Tables, printable, tenant_word
from subscriber.model import State, Tenant

RECORD = {
    "tenant": Tenant("mindsphere", "custaa"),
    "state": State.PENDING,
    "key": b"\xab\x01",
    "received_at": datetime(2026, 1, 5, 12, 0, 0, 123000, tzinfo=UTC),
    "settled_at": None,
    "payload": {"n": [1]},
    "ok": True,
}


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_programs_get_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines().table(("tenant",), [RECORD, RECORD])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert orjson.loads(lines[0]) == {
        "tenant": "mindsphere/custaa",
        "state": "pending",
        "key": "ab01",
        "received_at": "2026-01-05T12:00:00.123000Z",
        "settled_at": None,
        "payload": {"n": [1]},
        "ok": True,
    }


def test_programs_get_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = JsonLines()
    out.say("hello")
    out.table(("a",), [])
    with out.busy("working"), out.progress("working", 2) as advance:
        advance()
    assert capsys.readouterr().out == ""


def test_programs_get_the_record_where_people_get_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    outputs: list[Output] = [JsonLines(), Tables()]
    for out in outputs:
        out.done({"moved": 3}, "3 moved.")
    assert capsys.readouterr().out == '{"moved":3}\n3 moved.\n'


def test_warnings_go_to_stderr_in_either_form(capsys: pytest.CaptureFixture[str]) -> None:
    outputs: list[Output] = [JsonLines(), Tables()]
    for out in outputs:
        out.warn("careful")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "warning: careful\n" * 2)


def test_people_see_the_chosen_columns(capsys: pytest.CaptureFixture[str]) -> None:
    Tables().table(("received_at", "tenant", "state", "settled_at"), [RECORD])
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["received", "at", "tenant", "state", "settled", "at"]
    assert line.split() == ["2026-01-05", "12:00:00", "custaa", "pending"]


def test_people_may_see_a_shorter_form_of_the_records(capsys: pytest.CaptureFixture[str]) -> None:
    outputs: list[Output] = [JsonLines(), Tables()]
    for out in outputs:
        out.table(("n",), [{"n": 1}, {"n": 2}], people=[{"n": "both"}])
    assert capsys.readouterr().out.split() == ['{"n":1}', '{"n":2}', "n", "both"]


def test_long_values_are_folded_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    topic = "mdsp.core.assetmanagement.v1.pubsub.aspecttype.ext.notification"
    Tables().table(("tenant", "topic", "detail"), [{"tenant": "custaa", "topic": topic, "detail": "Z" * 150}])
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert shown.count("Z") == 150
    assert "…" not in shown


def test_facts_are_one_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    Tables().facts({"key": b"\xab", "ok": False, "payload": {"n": 1}})
    assert capsys.readouterr().out.split() == ["key", "ab", "ok", "no", "payload", "{", '"n":', "1", "}"]


def test_text_from_strangers_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J[red]a\x07\u202eb\r\u009b1m"
    Tables().table(("detail",), [{"detail": hostile}])
    Tables().facts({"detail": hostile, "payload": {"x": hostile}})
    Tables().say(hostile)
    Tables().warn(hostile)
    captured = capsys.readouterr()
    assert not set("\x1b\x07\u202e\r\u009b") & set(captured.out + captured.err)
    assert "[red]a" in captured.out


def test_printable_keeps_line_breaks_and_letters_of_all_scripts() -> None:
    assert printable("über\nпривет 你好") == "über\nпривет 你好"


def test_a_mindsphere_tenant_is_shown_as_it_may_be_typed() -> None:
    assert tenant_word(Tenant("mindsphere", "custaa")) == "custaa"
    assert tenant_word(Tenant("cumulocity", "t1")) == "cumulocity/t1"


def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with Tables().progress("Subscribing", 2) as advance:
        advance()
        advance()
    with Tables().busy("Erasing"):
        pass
    assert capsys.readouterr() == ("", "")
