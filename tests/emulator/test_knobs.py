"""Assumptions can be turned, within bounds, and back."""

from __future__ import annotations

import pytest

from emulator.knobs import KnobError, Knobs, Panel, named, read, split, turn


def test_a_knob_is_turned_by_its_outward_name() -> None:
    knobs = turn(Knobs(), {"EMU_RETENTION_S": "60", "EMU_WIRE_FORM": "B", "EMU_MB_ACCEPT_PUT": "off"})
    assert (knobs.retention_s, knobs.wire_form, knobs.mb_accept_put) == (60.0, "B", False)


def test_the_defaults_are_the_documented_ones() -> None:
    knobs = Knobs()
    assert knobs.retention_s == 4 * 86_400
    assert knobs.publish_window_s == 60
    assert knobs.token_lifetime_s == 1800


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMU_NOTHING", "1"),
        ("EMU_RETENTION_S", "soon"),
        ("EMU_RETENTION_S", "nan"),
        ("EMU_RETENTION_S", "-1"),
        ("EMU_MAX_INFLIGHT", "1.5"),
        ("EMU_MAX_INFLIGHT", "0"),
        ("EMU_WIRE_FORM", "C"),
        ("EMU_SEND_MESSAGE_ID", "perhaps"),
        ("retention_s", "5"),
    ],
)
def test_a_wrong_knob_is_refused_by_name_and_nothing_turns(name: str, value: str) -> None:
    panel = Panel(Knobs())
    with pytest.raises(KnobError, match=name):
        panel.turn({"EMU_RETRY_BASE_S": "1", name: value})
    assert panel.now == Knobs()


def test_words_of_the_command_line_need_a_value() -> None:
    assert split(["EMU_A=1=2", "EMU_B="]) == {"EMU_A": "1=2", "EMU_B": ""}
    with pytest.raises(KnobError, match="NAME=VALUE"):
        split(["EMU_A"])


def test_the_panel_goes_back_to_the_knobs_of_the_start() -> None:
    panel = Panel(turn(Knobs(), {"EMU_SLOW_S": "3"}))
    panel.turn({"EMU_SLOW_S": "9"})
    assert panel.listing()["EMU_SLOW_S"] == 9
    panel.restore()
    assert panel.now.slow_s == 3


@pytest.mark.parametrize("name", named())
def test_every_knob_says_what_it_means_and_takes_its_own_default(name: str) -> None:
    entry = named()[name]
    assert len(entry.metadata["help"]) > 10
    assert read(entry, str(entry.default)) == entry.default
