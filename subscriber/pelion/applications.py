"""Channels, presubscriptions and observed resources: made, found and removed at the platform.

Every call may be made again: what is there already is found, and what is gone already is fine. A channel of another
kind is never deleted to make room: what waits in it would be lost without anybody having agreed.

Follows the public API contract of Device Management (April 2020), notifications and subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import Tenant
from subscriber.pelion.gateway import Gateway
from subscriber.pelion.plan import CHANNEL, RULES, resource_of, rules_of, tenant_of
from subscriber.pelion.standing import Standing
from subscriber.platforms import pelion_api as api
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.pelion.callback import REGISTERED_CHARACTERS, registered_characters
from subscriber.platforms.pelion.rules import CALLBACK, Presubscription
from subscriber.registration.patience import Patience
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe, of_row
from subscriber.settings import PelionChannel
from subscriber.store import Registry
from subscriber.transport import Answer

AWAY_STATUS = 502  # what a subscription is answered for a device that is not connected

Address = Callable[[PelionChannel], str]  # of a channel's callback; raises ``PlatformRefused``


class Applications:
    """May be used from many threads. Raises ``PlatformRefused`` with the likely cause, ``PlatformUnavailable``."""

    def __init__(
        self, gateway: Gateway, patience: Patience, standing: Standing, registry: Registry, address: Address
    ) -> None:
        self._gateway = gateway
        self._patience = patience
        self._standing = standing
        self._registry = registry
        self._address = address

    # What there is.

    def mode(self, name: str) -> str:
        """See ``pelion_api.read_channel``."""
        answer = self._call(name, api.channel_request())
        return api.read_channel(answer.status, answer.body)

    def registration(self, name: str) -> api.Registration | None:
        answer = self._call(name, api.registration_request())
        return api.read_registration(answer.status, answer.body)

    def rules(self, name: str) -> tuple[Presubscription, ...]:
        """All presubscriptions, whoever made them."""
        answer = self._call(name, api.rules_request())
        return api.read_rules(answer.status, answer.body)

    def observed(self, name: str, ep: str) -> frozenset[str]:
        """Paths of a device."""
        answer = self._call(name, api.observed_request(ep))
        return api.read_observed(answer.status, answer.body)

    def account(self, name: str) -> api.Account:
        answer = self._call(name, api.account_request())
        return api.read_account(answer.status, answer.body)

    def websocket(self, name: str) -> api.Enrolled | None:
        """The WebSocket channel that stands, None if there is none. Nothing is registered."""
        answer = self._call(name, api.enrolled_request())
        return None if answer.status == 404 else api.read_enrolled(answer.status, answer.body)

    # What shall be.

    def perform(self, change: Change, channel: PelionChannel | None) -> bool:
        """Make a change; what is kept needs no call. True if something that was there was gone.

        ``channel`` is the configured one, None for one that is not configured any more.
        """
        subscription = change.subscription
        match change:
            case Keep():
                if subscription.topic == CHANNEL:
                    self._standing.stands(subscription.tenant)
                return False
            case Subscribe() if channel is not None and subscription.topic == CHANNEL:
                return self._register(channel)
            case Subscribe() if subscription.topic == RULES:
                self._put_rules(subscription)
            case Subscribe():
                self._observe(subscription.tenant.name, *resource_of(subscription))
            case Unsubscribe():
                self._remove(subscription)
        return change.why == "lost"

    def _remove(self, subscription: Subscription) -> None:
        name = subscription.tenant.name
        if subscription.topic == CHANNEL:
            self._delete(name, subscription.version)
        elif subscription.topic == RULES:
            self._drop_rules(name, rules_of(subscription))
        else:
            answer = self._call(name, api.unsubscribe_request(*resource_of(subscription)))
            api.read_unsubscribed(answer.status, answer.body)

    def _register(self, channel: PelionChannel) -> bool:
        """True if it had stood before, and had been removed."""
        tenant = tenant_of(channel.name)
        before = self._standing.before(tenant)
        kind = self.mode(channel.name)
        if kind not in ("", channel.mode):
            raise api.other_kind(kind)
        made = self._put_callback(channel, kind) if channel.mode == CALLBACK else self._put_websocket(channel.name)
        if made:
            self._standing.made(tenant, before)
        else:
            self._standing.stands(tenant)
        return made and before is not None

    def _put_callback(self, channel: PelionChannel, kind: str) -> bool:
        address, headers = self._address(channel), channel.callback_headers
        characters = registered_characters(address, headers)
        if characters > REGISTERED_CHARACTERS:
            detail = (
                f"the callback's address and headers have {characters} characters, {REGISTERED_CHARACTERS} are "
                "allowed: shorten PUBLIC_URL, the channel's name or its headers"
            )
            raise PlatformRefused(detail, reason="callback_too_long", upstream_status=400)
        answer = self._call(channel.name, api.callback_request(address, headers))
        api.read_registered(answer.status, answer.body)
        return not kind

    def _put_websocket(self, name: str) -> bool:
        answer = self._call(name, api.websocket_request())
        return api.read_enrolled(answer.status, answer.body).created

    def _delete(self, name: str, mode: str) -> None:
        """A channel of the other kind is somebody else's by now."""
        if self.mode(name) == mode:
            answer = self._call(name, api.delete_request(mode))
            api.read_deleted(answer.status, answer.body)
        self._standing.ended(tenant_of(name))

    def _put_rules(self, subscription: Subscription) -> None:
        """Add ours to those of others, and leave out those of ours that are not wanted any more."""
        name, wanted = subscription.tenant.name, rules_of(subscription)
        surplus = self._remembered_rules(subscription.tenant).difference(wanted)
        there = self.rules(name)
        kept = [rule for rule in there if rule not in surplus]
        self._replace_rules(name, there, (*kept, *(rule for rule in wanted if rule not in there)))

    def _drop_rules(self, name: str, ours: tuple[Presubscription, ...]) -> None:
        there = self.rules(name)
        self._replace_rules(name, there, tuple(rule for rule in there if rule not in ours))

    def _replace_rules(
        self, name: str, there: tuple[Presubscription, ...], rules: tuple[Presubscription, ...]
    ) -> None:
        if rules != there:
            answer = self._call(name, api.put_rules_request(rules))
            api.read_put(answer.status, answer.body)

    def _remembered_rules(self, tenant: Tenant) -> set[Presubscription]:
        rows = self._registry.subscriptions_of([tenant])
        return {rule for row in rows if row.topic == RULES for rule in rules_of(of_row(row))}

    def _observe(self, name: str, ep: str, path: str) -> None:
        """Made without patience: a device that is away is away for hours, and is told by a status of outages."""
        try:
            answer = self._gateway.call(name, api.subscribe_request(ep, path))
        except PlatformUnavailable as error:
            if error.upstream_status == AWAY_STATUS:
                raise api.device_away(ep) from error
            raise
        api.read_subscribed(answer.status, answer.body)

    def close(self) -> None:
        """Let go of all connections."""
        self._gateway.close()

    def _call(self, name: str, request: ApiRequest) -> Answer:
        return self._patience(lambda: self._gateway.call(name, request))
