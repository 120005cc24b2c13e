"""The console as an operator reaches it: signed in by the platform's gateway, in a browser, to the real service."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.rehearsal import ASSET, Rehearsal
from tests.web.console.browsing import chromium

pytestmark = pytest.mark.journey

DEADLINE_MS = 30_000.0
COUNT = 3  # notifications of each of two tenants


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """A gateway that demands its own token against forged forms too, and what came for two tenants."""
    with Rehearsal(tmp_path_factory.mktemp("console"), knobs=("EMU_GW_XSRF=required",)) as made:
        made.start()
        for tenant in ("custaa", "custbb"):
            made.publish(tenant, ASSET, COUNT)
        made.settle()
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(reduced_motion="reduce")
    made.set_default_timeout(DEADLINE_MS)
    yield made
    made.close()


def signed_in(context: BrowserContext, world: Rehearsal, tenant: str, role: str) -> Page:
    """From the gateway's list of applications to where one is led."""
    page = context.new_page()
    page.goto(f"{world.emulator_url}/gateway/login")
    page.get_by_role("link", name=f"for {tenant}").click()
    page.get_by_role("button", name=f"{role}@{tenant}").click()
    return page


def test_an_operator_signs_in_finds_what_arrived_and_has_it_handled_again(
    world: Rehearsal, context: BrowserContext
) -> None:
    page = signed_in(context, world, "custaa", "operator")
    expect(page.get_by_text("operator@custaa.example").first).to_be_visible(timeout=DEADLINE_MS)
    page.get_by_role("link", name="Inbox", exact=True).click()
    expect(page.locator("#rows tr")).to_have_count(COUNT, timeout=DEADLINE_MS)
    assert "custbb" not in page.content()
    page.locator("#rows a").first.click()
    found = re.search(r"/inbox/mindsphere/custaa/([0-9a-f]+)$", page.url)
    assert found, page.url
    page.get_by_role("button", name="Handle this one again").click()
    expect(page.get_by_role("status")).to_contain_text("put back to be handled again", timeout=DEADLINE_MS)
    world.settle()
    (row,) = world.run("inbox", "show", found[1], "--tenant", "custaa")
    assert (row["state"], len(world.receiver.effects)) == ("done", 2 * COUNT + 1)


def test_the_hosts_operator_sees_every_tenant_and_pauses_one(world: Rehearsal, context: BrowserContext) -> None:
    page = signed_in(context, world, "acmeop", "operator")
    page.get_by_role("link", name="Tenants", exact=True).click()
    page.get_by_role("link", name="mindsphere/custbb", exact=True).click()
    for button, told in (("Pause handling", "Handling is paused"), ("Resume handling", "Handling goes on")):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("status")).to_contain_text(f"{told}: tenant mindsphere/custbb", timeout=DEADLINE_MS)
        page.goto(page.url.partition("/console/")[0] + "/console/tenants/mindsphere/custbb")


@pytest.mark.parametrize(("role", "told"), [("reader", "scope"), ("visitor", "no scope of this application")])
def test_who_does_not_operate_is_told_so(world: Rehearsal, context: BrowserContext, role: str, told: str) -> None:
    page = signed_in(context, world, "custaa", role)
    expect(page.get_by_text(told).first).to_be_visible(timeout=DEADLINE_MS)
    assert page.get_by_role("link", name="Inbox").count() == 0
