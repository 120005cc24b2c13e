"""Whose verb is it? Control verbs name a tenant as ``platform/name``; a bare name is MindSphere's.

``addressed`` puts one verb in front of the verbs of several platforms: each gets the tenants that are its own, and
the numbers of their answers are added up.
"""

from __future__ import annotations

from collections.abc import Mapping

from emulator.control import ControlError, Fields, Verb

DEFAULT_PLATFORM = "mindsphere"
TENANT_MEMBERS = ("tenant", "tenants")


def addressed(verbs: Mapping[str, Verb]) -> Verb:
    """One verb for all platforms in the table; a request that names no tenant is MindSphere's."""

    async def verb(fields: Fields) -> Mapping[str, object]:
        answers = [
            await verbs[platform](_narrowed(fields, names)) for platform, names in _split(fields, verbs).items()
        ]
        return _added_up(answers)

    return verb


def _split(fields: Fields, known: Mapping[str, Verb]) -> dict[str, list[str]]:
    """Tenant names without their prefix, by platform."""
    found: dict[str, list[str]] = {}
    for word in [word for member in TENANT_MEMBERS for word in fields.words(member)]:
        platform, slash, name = word.partition("/")
        platform, name = (platform, name) if slash else (DEFAULT_PLATFORM, word)
        if platform not in known:
            raise ControlError(f"no platform {platform[:40]!r} does this; there are: {', '.join(known)}")
        found.setdefault(platform, []).append(name)
    return found or {DEFAULT_PLATFORM: []}


def _narrowed(fields: Fields, names: list[str]) -> Fields:
    members = {name: fields.raw(name) for name in fields.names() if name not in TENANT_MEMBERS}
    return Fields({**members, "tenants": names})


def _added_up(answers: list[Mapping[str, object]]) -> Mapping[str, object]:
    """One answer as it is; of several the sums of their numbers."""
    if len(answers) == 1:
        return answers[0]
    totals: dict[str, object] = {}
    for name, value in ((name, value) for answer in answers for name, value in answer.items()):
        before = totals.get(name, 0)
        totals[name] = before + value if isinstance(before, int) and isinstance(value, int) else value
    return totals
