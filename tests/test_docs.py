"""README and docs say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from subscriber.cli import commands
from subscriber.errors import SubscriberError
from subscriber.model import State
from subscriber.settings import CumulocitySettings, MindSphereSettings, PelionSettings, Settings, declared
from tests.readme_tables import README, rewritten

ROOT = README.parent
FIDELITY = (ROOT / "docs" / "fidelity.md").read_text()
TEXT = README.read_text()
WALK = (ROOT / "docs" / "mindsphere.md").read_text()
CUMULOCITY_WALK = (ROOT / "docs" / "cumulocity.md").read_text()
CONFORMANCE = [f"C{number}" for number in range(1, 19)]
SEED_001 = [f"M{number}" for number in range(1, 80)]


def test_the_tables_of_settings_and_commands_are_those_of_the_code() -> None:
    assert rewritten(TEXT) == TEXT, "run `python -m tests.readme_tables`"


@pytest.mark.parametrize("state", State)
def test_each_row_state_is_explained(state: State) -> None:
    assert f"`{state}`" in TEXT


def slugs() -> list[str]:
    """Every reason that code of the HTTP path gives to an error that is answered."""
    files = ["tokens.py", "access.py", "keys.py", "callbacks.py", "web/reading.py"]
    text = "".join((ROOT / "subscriber" / name).read_text() for name in files)
    answered = re.findall(r"(?:InvalidToken|Forbidden|RefusedDelivery)\(.*?reason=\"(\w+)\"", text, re.DOTALL)
    kinds = [kind.reason for kind in SubscriberError.__subclasses__() for kind in kind.__subclasses__()]
    return sorted({*answered, *kinds})


@pytest.mark.parametrize("slug", slugs())
def test_each_reason_a_caller_can_get_is_listed(slug: str) -> None:
    assert f"`{slug}`" in TEXT


def test_the_list_of_reasons_is_read_from_the_code() -> None:
    assert {"expired", "scope", "too_large", "store_busy"} <= set(slugs())


@pytest.mark.parametrize("id", CONFORMANCE + SEED_001)
def test_each_row_of_the_reference_and_of_the_seed_is_accounted_for(id: str) -> None:
    assert re.search(rf"^\| {id} \|", FIDELITY, re.MULTILINE), f"docs/fidelity.md has no row {id}"


def referenced_tests() -> list[str]:
    return sorted(set(re.findall(r"tests/[\w/]+\.py::\w+", FIDELITY)))


@pytest.mark.parametrize("reference", referenced_tests())
def test_each_test_that_fidelity_names_exists(reference: str) -> None:
    path, name = reference.split("::")
    assert f"def {name}(" in (ROOT / path).read_text(), reference


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:subscriber|emulator|migrations|docs)/[\w/.]+)`", FIDELITY + TEXT)))
)
def test_each_place_that_the_documents_name_exists(path: str) -> None:
    assert (ROOT / path).exists(), path


VARIABLES = {
    variable.name
    for kind in (Settings, MindSphereSettings, CumulocitySettings, PelionSettings)
    for variable in declared(kind).values()
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b", WALK))))
def test_each_setting_of_the_walk_exists(name: str) -> None:
    assert name in VARIABLES


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bC8Y(?:_[A-Z]+)+\b", CUMULOCITY_WALK + TEXT))))
def test_each_setting_of_the_other_walk_exists(name: str) -> None:
    assert name in VARIABLES


def test_the_other_walk_s_subscriptions_can_be_used() -> None:
    for text in re.findall(r"C8Y_SUBSCRIPTIONS=(\[.*?\}\])", CUMULOCITY_WALK + TEXT, re.DOTALL):
        environ = {"C8Y_BASEURL": "http://c", "C8Y_TENANT": "t", "C8Y_USER": "u", "C8Y_PASSWORD": "p"}
        found = Settings.from_environ({**environ, "APPLICATION_NAME": "a", "C8Y_SUBSCRIPTIONS": text}).cumulocity
        assert found is not None and [one.name for one in found.subscriptions] == ["coldChain"]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m subscriber ([a-z]+)", WALK + TEXT))))
def test_each_command_that_the_documents_tell_to_run_exists(name: str) -> None:
    assert name in commands.commands


def test_when_nothing_arrives_the_scope_mapping_is_looked_at_first() -> None:
    first = WALK.partition("## Nothing arrives")[2].partition("\n2.")[0]
    assert "Scope mapping" in first and "Message Broker" in first


def test_nothing_names_a_machine_or_a_person_s_folder() -> None:
    for path in [README, *Path(ROOT / "docs").glob("*.md")]:
        assert not re.search(r"/(home|root|Users)/\w+", path.read_text()), path
