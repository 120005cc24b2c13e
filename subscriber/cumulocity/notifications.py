"""Rules and consumers of Notification 2.0: made, found and removed at the platform, each in its tenant's name.

Every call is made patiently and may be made again: what is there already is found, and what is gone already is fine.
A rule that differs is replaced only where that was asked for: between the old and the new one messages are lost, and
around it some come twice.

Follows the core OpenAPI specification of Notification 2.0 (subscriptions, tokens, unsubscribing).
"""

from __future__ import annotations

from dataclasses import replace

from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.cumulocity.plan import grant_of, of_consumer, rule_of
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import Tenant
from subscriber.platforms import cumulocity_api as api
from subscriber.platforms.api import ApiRequest
from subscriber.registration.patience import Patience
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe
from subscriber.transport import Answer

MAX_PAGES = 100  # of a thousand rules: ten times what one name may have here
GONE_STATUS = 500  # what the platform says of a consumer that is no more (observed by clients in the field)


class Notifications:
    """May be used from many threads. Raises ``PlatformRefused`` with the likely cause, ``PlatformUnavailable``."""

    def __init__(self, gateway: ServiceGateway, patience: Patience, *, replacing: bool) -> None:
        """``replacing``: rules that differ are deleted and made anew."""
        self._gateway = gateway
        self._patience = patience
        self._replacing = replacing

    def rules(self, tenant: Tenant, name: str, *, context: str = "", source: str = "") -> list[api.StoredRule]:
        """What the platform has under a name. Pages are asked for until one is empty: some come short."""
        found: list[api.StoredRule] = []
        for page in range(1, MAX_PAGES + 1):
            answer = self._call(tenant, api.list_request(page, name=name, context=context, source=source))
            stored = api.read_list(answer.status, answer.body)
            found += (one for one in stored if one.rule.name == name)
            if not stored:
                return found
        detail = f"more than {MAX_PAGES} pages of subscriptions have the name {name}"
        raise PlatformUnavailable(detail, reason="list_too_long")

    def perform(self, change: Change) -> bool:
        """Make a change; what is kept needs no call. True if something that was there was gone."""
        subscription = change.subscription
        rule = rule_of(subscription)
        match change:
            case Subscribe() if rule is not None:
                self._put(subscription.tenant, rule)
            case Subscribe(_, "differs"):
                self._change_kind(subscription)
            case Subscribe():
                self._token(subscription)
            case Unsubscribe() if rule is not None:
                self._delete(subscription.tenant, rule)
            case Unsubscribe():
                self._end(subscription)
            case Keep():
                return False
        return change.why == "lost"

    def probe(self, tenant: Tenant) -> None:
        """Are the credentials good, and do they hold the role?"""
        answer = self._call(tenant, api.probe_request())
        api.read_list(answer.status, answer.body)

    def close(self) -> None:
        """Let go of all connections."""
        self._gateway.close()

    def _put(self, tenant: Tenant, rule: api.Rule) -> None:
        if self._create(tenant, rule):
            return
        twins = self._at(tenant, rule)
        if rule in (stored.rule for stored in twins):
            return
        if not twins:
            raise _refusal("subscription_exists", "there is one of this name and source with another nonPersistent")
        if not self._replacing:
            raise _refusal(
                "differs",
                "the one that is there has other filters. `register --apply` deletes it and makes it anew: what "
                "happens in between is lost, and some may come twice",
            )
        self._delete(tenant, rule)
        if not self._create(tenant, rule):
            raise _refusal("subscription_exists", "it was made again by another program at the same moment")

    def _create(self, tenant: Tenant, rule: api.Rule) -> bool:
        answer = self._call(tenant, api.create_request(rule))
        return api.read_created(answer.status, answer.body)

    def _at(self, tenant: Tenant, rule: api.Rule) -> list[api.StoredRule]:
        """What stands in the place of a rule."""
        found = self.rules(tenant, rule.name, context=rule.context, source=rule.source)
        return [stored for stored in found if stored.rule.place == rule.place]

    def _delete(self, tenant: Tenant, rule: api.Rule) -> None:
        for stored in self._at(tenant, rule):
            answer = self._call(tenant, api.delete_request(stored.id))
            api.read_deleted(answer.status, answer.body)

    def _token(self, subscription: Subscription) -> str:
        """Asking for one shows whether the platform lets this consumer be; on some releases it makes it."""
        answer = self._call(subscription.tenant, api.token_request(grant_of(subscription)))
        return api.read_token(answer.status, answer.body)

    def _change_kind(self, subscription: Subscription) -> None:
        """Exclusive and shared consumers of one name exclude each other."""
        if not self._replacing:
            raise _refusal(
                "differs",
                "the consumer is of the other kind, exclusive or shared. `register --apply` ends it with its backlog",
            )
        grant = grant_of(subscription)
        self._end(of_consumer(subscription.tenant, replace(grant, shared=not grant.shared)))
        self._token(subscription)

    def _end(self, consumer: Subscription) -> None:
        """Remove the consumer and its backlog; the platform fails with 500 for one that is gone already."""
        request = api.unsubscribe_request(self._token(consumer))
        try:
            answer = self._gateway.call(consumer.tenant.name, request)
        except PlatformUnavailable as error:
            if error.upstream_status != GONE_STATUS:
                raise
            return  # it has just given a token for it, so the service itself is there
        api.read_unsubscribed(answer.status, answer.body)

    def _call(self, tenant: Tenant, request: ApiRequest) -> Answer:
        return self._patience(lambda: self._gateway.call(tenant.name, request))


def _refusal(reason: str, detail: str) -> PlatformRefused:
    return PlatformRefused(detail, reason=reason, upstream_status=409)
