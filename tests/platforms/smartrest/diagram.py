"""The states of a conversation, drawn from the table that the code runs.

``python -m tests.platforms.smartrest.diagram`` writes the drawing into docs/smartrest-session.md between its markers;
``test_transitions.py`` fails when they differ.
"""

from __future__ import annotations

import re
from pathlib import Path

from subscriber.platforms.smartrest.transitions import TRANSITIONS, Event, State

PAGE = Path(__file__).parents[3] / "docs" / "smartrest-session.md"
PLACE = re.compile(r"(<!-- diagram -->\n).*?(<!-- /diagram -->)", re.DOTALL)


def drawn() -> str:
    """A state diagram for Mermaid; events with the same way share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> check", "    [*] --> connect: session kept"]
    for state, ways in TRANSITIONS.items():
        for target in dict.fromkeys(ways.values()):
            lines.append(f"    {state} --> {target}: {', '.join(_between(ways, target))}")
    return "\n".join([*lines, "    closed --> [*]", "```", ""])


def _between(ways: dict[Event, State], target: State) -> list[str]:
    return [event.value for event, reached in ways.items() if reached is target]


def rewritten(text: str) -> str:
    made, count = PLACE.subn(lambda match: match[1] + drawn() + match[2], text)
    if count != 1:
        raise ValueError("the page has no place for the diagram")
    return made


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
