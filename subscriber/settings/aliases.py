"""TENANT_ALIASES: whose users may read the notifications of a tenant on another platform, read from JSON.

An object: ``platform/tenant`` → the name that users' tokens carry as their tenant. Resolved when reading, so a
changed alias holds for what was stored before as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from subscriber.model import CUMULOCITY, MINDSPHERE, PELION, SMARTREST, Tenant
from subscriber.settings.parts import Part, document

PLATFORMS = (MINDSPHERE, CUMULOCITY, SMARTREST, PELION)
TENANT = re.compile(r"[^\x00-\x20/]{1,255}")  # of any platform; channels of Pelion are named by us
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
MAX_ALIASES = 10_000  # each is looked at when somebody reads


class Alias(NamedTuple):
    """``name``: the tenant of those users."""

    tenant: Tenant
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}={self.name}"


def tenant_aliases(text: str) -> tuple[Alias, ...]:
    """Raises ``ValueError`` with all problems, each with its place."""
    problems: list[str] = []
    whole = document(text, problems)
    names = list(whole.value) if isinstance(whole.value, dict) else []
    if len(names) > MAX_ALIASES:
        raise ValueError(f"must have at most {MAX_ALIASES} members")
    aliases = [_alias(name, part) for name, part in whole.members(names).items()]
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(aliases)


def _alias(name: str, part: Part) -> Alias:
    platform, _, tenant = name.partition("/")
    if platform not in PLATFORMS or not TENANT.fullmatch(tenant):
        part.problem(f"must stand under platform/tenant, with one of {', '.join(PLATFORMS)}")
    return Alias(Tenant(platform, tenant), part.text(NAME, "the name of a tenant"))
