"""The values of the contract."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from subscriber import store
from subscriber.store import Pruned, values

TYPES = {name: type_ for name, type_ in vars(values).items() if inspect.isclass(type_)}
OWN = {name: type_ for name, type_ in TYPES.items() if type_.__module__ == values.__name__}


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_store_hands_on_every_value(name: str) -> None:
    assert getattr(store, name) is OWN[name]
    assert name in store.__all__


@pytest.mark.parametrize("name", sorted(name for name, type_ in OWN.items() if dataclasses.is_dataclass(type_)))
def test_values_are_immutable(name: str) -> None:
    assert OWN[name].__dataclass_params__.frozen


def test_there_may_be_more_to_prune_while_any_kind_went() -> None:
    assert not Pruned(bodies=0, rows=0, dead_letters=0, tenants=0).anything
    for kind in ("bodies", "rows", "dead_letters", "tenants"):
        one = dict.fromkeys(("bodies", "rows", "dead_letters", "tenants"), 0) | {kind: 1}
        assert Pruned(**one).anything
