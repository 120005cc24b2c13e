"""The Cumulocity side of the settings: the platform's own names, and what is subscribed, read from JSON.

C8Y_SUBSCRIPTIONS is a list with an object for each subscription name, or several for one name that has rules of
different sources or filters:

- ``name`` and ``context`` (``mo`` or ``tenant``); ``sources``: ids of managed objects, for ``mo`` alone;
- ``apis`` (absent: all; ``inventory`` is read as ``managedobjects``), ``typeFilter``, ``fragmentsToCopy``;
- ``subscriber`` (absent: APPLICATION_NAME without other characters than letters and digits), ``shared``,
  ``nonPersistent``, ``expiresInMinutes``, ``signed``, ``type``: of the consumer, so alike in all objects of a name.

Follows the core OpenAPI specification of Notification 2.0 and "Microservice SDK, general aspects".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from subscriber.platforms.cumulocity_api import (
    ANY,
    MO,
    TENANT,
    TENANT_NAME,
    Grant,
    Rule,
    ServiceUser,
    api_names,
    types_of,
)
from subscriber.settings.declaring import declared, read, setting
from subscriber.settings.parsers import http_url
from subscriber.settings.parts import Part, document

MULTI_TENANT, PER_TENANT = "MULTI_TENANT", "PER_TENANT"
NAME = re.compile(r"[a-zA-Z0-9]{1,255}")  # the platform's rule; its length is ours
SOURCE = re.compile(r"[A-Za-z0-9_-]{1,64}")  # ids are digits today
FRAGMENT = re.compile(r"[^\x00-\x20]{1,255}")
TOKEN_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
CONTEXT = re.compile(f"{MO}|{TENANT}")
API = re.compile(
    r"alarms|alarmsWithChildren|events|eventsWithChildren|inventory|managedobjects|measurements|operations|\*"
)
OWN_WORDS = {"inventory": "managedobjects"}  # what articles call it, and what the platform takes
WITH_CHILDREN = "WithChildren"
MAX_SOURCES = 10_000  # each is a call of its own when they are made
MAX_MINUTES = 525_600  # a year; an open connection outlives its token anyway
OTHER_CHARACTERS = re.compile(r"[^a-zA-Z0-9]")


@dataclass(frozen=True, kw_only=True)
class NamedSubscription:
    """All that is subscribed under one name in every tenant, and the one consumer of it."""

    grant: Grant
    rules: tuple[Rule, ...]

    @property
    def name(self) -> str:
        return self.grant.subscription

    def __str__(self) -> str:
        return self.name


def named_subscriptions(text: str) -> tuple[NamedSubscription, ...]:
    """Raises ``ValueError`` with all problems, each with its place."""
    problems: list[str] = []
    entries = document(text, problems).items(_entry)
    by_name: dict[str, list[NamedSubscription]] = {}
    for entry in entries:
        if entry.name:  # without one it is a problem already
            by_name.setdefault(entry.name, []).append(entry)
    merged = [_merged(name, some, problems) for name, some in by_name.items()]
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(merged)


def _merged(name: str, entries: list[NamedSubscription], problems: list[str]) -> NamedSubscription:
    if len({entry.grant for entry in entries}) > 1:
        problems.append(f"{name}: its objects differ in what concerns its one consumer")
    rules = [rule for entry in entries for rule in entry.rules]
    for place, times in Counter(rule.source for rule in rules).items():
        if times > 1:
            where = f"source {place}" if place else "the tenant"
            problems.append(f"{name}: {where} is subscribed {times} times; the platform keeps one rule of it")
    return NamedSubscription(grant=entries[0].grant, rules=tuple(rules))


def _entry(part: Part) -> NamedSubscription:
    members = part.members(
        ("name", "context"),
        (
            "subscriber",
            "apis",
            "typeFilter",
            "fragmentsToCopy",
            "sources",
            "shared",
            "nonPersistent",
            "expiresInMinutes",
            "signed",
            "type",
        ),
    )
    grant = Grant(
        subscription=_text(members, "name", NAME, "letters and digits"),
        subscriber=_text(members, "subscriber", NAME, "letters and digits"),
        shared="shared" in members and members["shared"].flag(),
        non_persistent="nonPersistent" in members and members["nonPersistent"].flag(),
        **_token_options(members),
    )
    return NamedSubscription(grant=grant, rules=tuple(_rules(part, members, grant)))


def _token_options(members: dict[str, Part]) -> dict[str, Any]:
    """Only those that are given: the platform's defaults are the value's own."""
    found: dict[str, Any] = {}
    if "expiresInMinutes" in members:
        found["expires_in_minutes"] = members["expiresInMinutes"].number(1, MAX_MINUTES)
    if "signed" in members:
        found["signed"] = members["signed"].flag()
    if "type" in members:
        found["type"] = members["type"].text(TOKEN_TYPE, "a word")
    return found


def _text(members: dict[str, Part], name: str, pattern: re.Pattern[str], wanted: str) -> str:
    """Empty if it is not there, or not as wanted: that is noted then."""
    return members[name].text(pattern, wanted) if name in members else ""


def _rules(part: Part, members: dict[str, Part], grant: Grant) -> list[Rule]:
    context = _text(members, "context", CONTEXT, f"{MO} or {TENANT}")
    rule = Rule(
        name=grant.subscription,
        apis=_apis(members["apis"], context) if "apis" in members else (),
        types=_types(members["typeFilter"]) if "typeFilter" in members else (),
        fragments=_fragments(members["fragmentsToCopy"]) if "fragmentsToCopy" in members else (),
        non_persistent=grant.non_persistent,
    )
    if context == TENANT and "sources" in members:
        part.problem("has sources, which only the context mo has")
    if context != MO:
        return [rule]
    sources = members["sources"].items(lambda one: one.text(SOURCE, "an id")) if "sources" in members else []
    if not 0 < len(sources) <= MAX_SOURCES:
        part.problem(f"needs 1 to {MAX_SOURCES} sources in the context mo")
    return [replace(rule, source=source) for source in sources]


def _apis(part: Part, context: str) -> tuple[str, ...]:
    names = part.items(lambda one: one.text(API, "one of alarms, events, inventory, measurements, operations, …"))
    if not names and isinstance(part.value, list):
        part.problem("must not be empty: leave it out for all")
    if ANY in names and len(names) > 1:
        part.problem("has * beside others; it stands alone")
    if context == TENANT and any(name.endswith(WITH_CHILDREN) for name in names):
        part.problem("has …WithChildren, which only the context mo has")
    return api_names([OWN_WORDS.get(name, name) for name in names])


def _types(part: Part) -> tuple[str, ...]:
    text = part.text(re.compile(r"[^\x00-\x1f]{1,2000}"), "a text of at most 2000 characters")
    try:
        return types_of(text) if text else ()
    except ValueError as error:
        part.problem(str(error))
        return ()


def _fragments(part: Part) -> tuple[str, ...]:
    return tuple(sorted(set(part.items(lambda one: one.text(FRAGMENT, "the name of a fragment")))))


@dataclass(frozen=True, kw_only=True)
class CumulocitySettings:
    """The Cumulocity side; exists only where C8Y_BASEURL is set."""

    base_url: str = setting("C8Y_BASEURL", "", "base of Cumulocity's APIs; absent = Cumulocity off", parse=http_url)
    isolation: str = setting(
        "C8Y_MICROSERVICE_ISOLATION",
        "",
        "MULTI_TENANT = every tenant that subscribed to the application, PER_TENANT = the one of C8Y_TENANT; "
        "unset = by what credentials there are",
    )
    bootstrap_tenant: str = setting("C8Y_BOOTSTRAP_TENANT", "", "tenant that owns the application")
    bootstrap_user: str = setting("C8Y_BOOTSTRAP_USER", "", "the application's bootstrap user")
    bootstrap_password: str = setting("C8Y_BOOTSTRAP_PASSWORD", "", "password of the same", secret=True)
    tenant: str = setting("C8Y_TENANT", "", "the one tenant, with PER_TENANT")
    user: str = setting("C8Y_USER", "", "service user in that tenant")
    password: str = setting("C8Y_PASSWORD", "", "password of the same", secret=True)
    application: str = setting("APPLICATION_NAME", "", "the application's name; names the consumers by default")
    subscriptions: tuple[NamedSubscription, ...] = setting(
        "C8Y_SUBSCRIPTIONS",
        (),
        "Notification 2.0: JSON list of `name, subscriber, context, apis, typeFilter, fragmentsToCopy, sources, "
        "shared, nonPersistent, expiresInMinutes, signed, type`",
        parse=named_subscriptions,
    )
    instance: str = field(default="", repr=False)  # this process's number among its like, where the platform says

    @property
    def multi_tenant(self) -> bool:
        return self.isolation == MULTI_TENANT

    @property
    def bootstrap(self) -> ServiceUser:
        """Whom the list of subscribed tenants is given to."""
        return ServiceUser(tenant=self.bootstrap_tenant, name=self.bootstrap_user, password=self.bootstrap_password)

    @property
    def service(self) -> ServiceUser:
        """The user of the one tenant."""
        return ServiceUser(tenant=self.tenant, name=self.user, password=self.password)


def read_cumulocity(
    environ: Mapping[str, str], origins: dict[str, str], problems: list[str]
) -> CumulocitySettings | None:
    """The settings, None where there is no C8Y_BASEURL; ``problems`` and ``origins`` are added to."""
    values = read(CumulocitySettings, environ, origins, problems)
    if not environ.get("C8Y_BASEURL", "").strip():
        if values["subscriptions"]:
            problems.append("C8Y_SUBSCRIPTIONS is set, but C8Y_BASEURL is not")
        return None
    if not values["isolation"]:
        values["isolation"] = PER_TENANT if values["tenant"] else MULTI_TENANT
        origins["C8Y_MICROSERVICE_ISOLATION"] = "derived from the credentials"
    problems += _credential_problems(values)
    values["subscriptions"] = _with_subscribers(values["subscriptions"], values["application"], problems)
    return CumulocitySettings(**values, instance=environ.get("CF_INSTANCE_INDEX", ""))


def _credential_problems(values: dict[str, Any]) -> list[str]:
    """What is asked for, by how the application is isolated. The bootstrap user may stand beside the other."""
    if values["isolation"] not in (MULTI_TENANT, PER_TENANT):
        return [f"C8Y_MICROSERVICE_ISOLATION must be {MULTI_TENANT} or {PER_TENANT}"]
    needed = ("bootstrap_tenant", "bootstrap_user", "bootstrap_password")
    if values["isolation"] == PER_TENANT:
        needed = ("tenant", "user", "password")
    names = {field: variable.name for field, variable in declared(CumulocitySettings).items()}
    found = [
        f"{names[one]} is needed beside C8Y_BASEURL for {values['isolation']}" for one in needed if not values[one]
    ]
    for one in ("bootstrap_tenant", "tenant"):
        if values[one] and not TENANT_NAME.fullmatch(values[one]):
            found.append(f"{names[one]} is not the id of a tenant")
    for one in ("bootstrap_user", "user"):
        if "/" in values[one] or ":" in values[one]:
            found.append(f"{names[one]} is a user's name without its tenant")
    return found


def _with_subscribers(
    subscriptions: tuple[NamedSubscription, ...], application: str, problems: list[str]
) -> tuple[NamedSubscription, ...]:
    """Consumers that have no name get the application's."""
    name = OTHER_CHARACTERS.sub("", application)
    if not name and any(not one.grant.subscriber for one in subscriptions):
        problems.append("C8Y_SUBSCRIPTIONS: a subscriber is missing, and there is no APPLICATION_NAME to take")
    return tuple(_named(one, name) for one in subscriptions)


def _named(one: NamedSubscription, name: str) -> NamedSubscription:
    return (
        one if one.grant.subscriber else NamedSubscription(grant=replace(one.grant, subscriber=name), rules=one.rules)
    )
