"""Who did what."""

from __future__ import annotations

from subscriber.web.console.actions import ROWS
from tests.web.console.world import ACME, World


def test_it_is_told_newest_first_page_by_page(world: World) -> None:
    for number in range(ROWS + 1):
        world.store.registry.audit("cli", "prune", f"number <{number}>")
    text = world.get("actions").text
    assert text.index(f"number &lt;{ROWS}&gt;") < text.index("number &lt;1&gt;") and "number &lt;0&gt;" not in text
    older = text.split('<a class="button" href="./')[1].split('"')[0]
    assert "number &lt;0&gt;" in world.get(older).text


def test_it_is_for_the_hosts_operators(world: World) -> None:
    answer = world.get("actions", tenant=ACME.name)
    assert (answer.status_code, "host_only" in answer.text) == (403, True)
    assert 'href="./actions"' not in world.get(tenant=ACME.name).text
    assert 'href="./actions"' in world.get().text


def test_nobody_having_done_anything_is_said_in_words(world: World) -> None:
    assert "Nobody did anything yet." in world.get("actions").text
