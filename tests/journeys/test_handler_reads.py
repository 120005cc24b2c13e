"""README's example for handlers that fetch what a hint points to, word by word, against the emulated platform."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.journeys.rehearsal import ASSET, FULL, ROOT, Rehearsal

pytestmark = pytest.mark.journey

COUNT = 200 if FULL else 15
USERS = ("custaa", "custbb")
# What the example leaves to the team: here both write down what they were told.
TEAM = """
import json

def save(tenant, id, name):
    with open({path!r}, "a") as file:
        file.write(json.dumps({{"tenant": tenant, "id": id, "name": name}}) + "\\n")

def forget(tenant, id):
    save(tenant, id, None)
"""


def example() -> str:
    """The example's code."""
    found = re.search(
        r"<!-- example: state -->\n```python\n(.*?)```\n<!-- /example -->",
        (ROOT / "README.md").read_text(),
        re.DOTALL,
    )
    assert found, "README lost its example"
    return found[1]


def test_the_example_fetches_each_asset_in_its_own_tenant(tmp_path: Path) -> None:
    saved = tmp_path / "saved.jsonl"
    (tmp_path / "team.py").write_text(TEAM.format(path=str(saved)) + example())
    paths = f"{tmp_path}:{ROOT}"
    with Rehearsal(tmp_path, HANDLERS="team:routes", PYTHONPATH=paths, RETRY_BASE_SECONDS="1") as world:
        world.start()
        for tenant in USERS:
            world.publish(tenant, ASSET, COUNT, duplicate=0.2)
        world.settle()
        assert (world.counts()["done"], world.counts()["dead"]) == (len(USERS) * COUNT, 0)
        rows = world.run("inbox", "list", "--topic", ASSET, "--limit", "10000")
    got = [json.loads(line) for line in saved.read_text().splitlines()]
    assert {(f"mindsphere/{one['tenant']}", one["id"]) for one in got} == {
        (row["tenant"], row["source"]) for row in rows
    }
    assert all(one["name"].startswith("Asset ") for one in got)
