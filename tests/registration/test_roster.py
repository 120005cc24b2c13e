"""Who is served and who leaves, by what lists say."""

from __future__ import annotations

import pytest

from subscriber.model import Tenant
from subscriber.registration.roster import Verdict, judge
from subscriber.store import RosterRow
from tests.registration.conftest import HOST

NAMES = [f"cust{letter}" for letter in "abcdefghij"]


def tenant(name: str) -> Tenant:
    return Tenant("mindsphere", name)


def known(name: str, *, state: str = "active", member: bool = True, missed: int = 0) -> RosterRow:
    return RosterRow(tenant=tenant(name), state=state, member=member, missed=missed, heard_at=None)


def judged(rows: list[RosterRow], *listed: str, complete: bool = True, confirmed: bool = False) -> Verdict:
    return judge(rows, [tenant(name) for name in listed], complete, HOST, confirmed=confirmed)


TEN = [known(name) for name in NAMES]


def test_whoever_is_listed_is_served_and_so_is_the_host_first() -> None:
    verdict = judged([], "custb", "custa")
    assert list(verdict.served) == [HOST, tenant("custa"), tenant("custb")]
    assert set(verdict.present) == {tenant("custa"), tenant("custb")}


def test_the_host_is_no_user_tenant_even_if_the_platform_lists_it() -> None:
    verdict = judged([known("acmeop", member=False)], "acmeop", "custa")
    assert list(verdict.served) == [HOST, tenant("custa")]
    assert list(verdict.present) == [tenant("custa")]


def test_one_list_without_a_tenant_is_only_remembered() -> None:
    verdict = judged(TEN, *NAMES[1:])
    assert (list(verdict.missing), list(verdict.leaving)) == ([tenant("custa")], [])
    assert tenant("custa") in verdict.served


def test_the_second_list_without_it_lets_a_tenant_go() -> None:
    verdict = judged([known("custa", missed=1), *TEN[1:]], *NAMES[1:])
    assert list(verdict.leaving) == [tenant("custa")]
    assert tenant("custa") not in verdict.served and tenant("custa") in verdict.departed


def test_an_incomplete_list_adds_and_lets_nobody_go() -> None:
    rows = [known(name, missed=1) for name in NAMES]
    verdict = judged(rows, "custz", complete=False)
    assert (list(verdict.missing), list(verdict.leaving), list(verdict.waiting)) == ([], [], [])
    assert list(verdict.present) == [tenant("custz")] and len(verdict.served) == 12


@pytest.mark.parametrize(("lacking", "waits"), [(2, False), (3, True)], ids=["a fifth", "more"])
def test_a_list_that_shrinks_by_more_than_a_fifth_waits_for_a_person(lacking: int, waits: bool) -> None:
    rows = [known(name, missed=1) for name in NAMES]
    verdict = judged(rows, *NAMES[lacking:])
    assert (len(verdict.leaving), len(verdict.waiting)) == ((0, lacking) if waits else (lacking, 0))
    assert len(verdict.served) == (11 if waits else 11 - lacking)


def test_a_person_can_agree_to_it() -> None:
    rows = [known(name, missed=1) for name in NAMES]
    verdict = judged(rows, confirmed=True)
    assert (len(verdict.leaving), list(verdict.waiting), list(verdict.served)) == (10, [], [HOST])


def test_a_leaving_tenant_that_is_listed_again_is_served_again() -> None:
    verdict = judged([known("custa", state="leaving", missed=2)], "custa")
    assert list(verdict.present) == [tenant("custa")] and tenant("custa") in verdict.served
    assert tenant("custa") not in verdict.departed


def test_a_tenant_that_was_missed_once_and_is_listed_again_starts_anew() -> None:
    assert list(judged([known("custa", missed=1)], "custa").present) == [tenant("custa")]
    assert list(judged([known("custa")], "custa").present) == []


def test_an_erased_tenant_is_left_out_and_said_so() -> None:
    verdict = judged([known("custa", state="gone")], "custa", "custb")
    assert list(verdict.erased) == [tenant("custa")] and tenant("custa") in verdict.departed
    assert list(verdict.served) == [HOST, tenant("custb")]


def test_a_tenant_that_only_sent_us_something_is_neither_served_nor_missed() -> None:
    verdict = judged([known("core", member=False)])
    assert (list(verdict.served), list(verdict.missing), verdict.departed) == ([HOST], [], frozenset())
