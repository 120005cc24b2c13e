"""TENANT_ALIASES: read completely, and every problem told with its place."""

from __future__ import annotations

import pytest

from subscriber.model import Tenant
from subscriber.settings.aliases import Alias, tenant_aliases


def test_each_tenant_has_the_users_of_one_name() -> None:
    found = tenant_aliases('{"cumulocity/t1234":"custaa","pelion/fleet one":"custbb"}'.replace(" one", "-1"))
    assert found == (Alias(Tenant("cumulocity", "t1234"), "custaa"), Alias(Tenant("pelion", "fleet-1"), "custbb"))
    assert str(found[0]) == "cumulocity/t1234=custaa"
    assert tenant_aliases("{}") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "must be an object"),
        ("{", "must be JSON"),
        ('{"t1234":"custaa"}', "platform/tenant"),
        ('{"elsewhere/t1234":"custaa"}', "platform/tenant"),
        ('{"cumulocity/":"custaa"}', "platform/tenant"),
        ('{"cumulocity/a/b":"custaa"}', "platform/tenant"),
        ('{"cumulocity/t1":7}', "the name of a tenant"),
        ('{"cumulocity/t1":""}', "the name of a tenant"),
        ('{"cumulocity/t1":null}', "the name of a tenant"),
    ],
)
def test_what_is_no_alias_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tenant_aliases(text)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"platform/tenant.*; .*the name of a tenant"):
        tenant_aliases('{"x/y":"a","pelion/z":1}')
