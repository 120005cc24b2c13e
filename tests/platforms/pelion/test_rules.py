"""What is subscribed, as values."""

from __future__ import annotations

from subscriber.platforms.pelion.rules import Presubscription, ResourceSubscription


def test_a_rule_without_members_matches_everything() -> None:
    assert Presubscription() == Presubscription(endpoint_name="", endpoint_type="", resource_paths=())


def test_equal_wishes_are_one_wish() -> None:
    wish = ResourceSubscription(ep="0189", paths=("/3303/0/5700",))
    assert len({wish, ResourceSubscription(ep="0189", paths=("/3303/0/5700",))}) == 1
