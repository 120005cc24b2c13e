"""The Message Broker's and the Token Manager's calls, each in the name of the tenant it is about.

Every call is made patiently and may be made again: the broker's PUT is an upsert, and a DELETE of what is gone is
fine. Nothing is remembered here but the verb that the broker takes.

Follows the Message Broker's published samples (PUT, GET, DELETE of a subscription); POST is the older spelling.
"""

from __future__ import annotations

from dataclasses import replace

from subscriber.platforms import mindsphere_api as api
from subscriber.platforms.api import ApiRequest
from subscriber.registration.patience import Patience
from subscriber.registration.plan import Change, Keep, Subscribe, Subscription, Unsubscribe
from subscriber.registration.tenants import TenantList, read_tenants
from subscriber.token_manager import Gateway
from subscriber.transport import Answer


class Broker:
    """One application's. May be used from many threads. All raise ``PlatformRefused``, ``PlatformUnavailable``."""

    def __init__(self, gateway: Gateway, broker_path: str, host: str, patience: Patience) -> None:
        self._gateway = gateway
        self._path = broker_path
        self._host = host
        self._patience = patience
        self._verb = "PUT"  # POST once the broker has said that it takes no PUT

    def tenants(self) -> TenantList:
        """The user tenants; the host is among them only if the platform lists it."""
        return read_tenants(self._page)

    def perform(self, change: Change) -> bool:
        """Make a change. True if what was to be kept had to be made anew."""
        match change:
            case Subscribe(subscription):
                self.subscribe(subscription)
            case Unsubscribe(subscription):
                self.unsubscribe(subscription)
            case Keep(subscription):
                if not self.holds(subscription):
                    self.subscribe(subscription)
                    return True
        return False

    def subscribe(self, subscription: Subscription) -> None:
        """Ask for it; an address that differs is replaced."""
        verb = self._verb
        answer = self._call(subscription, api.subscribe_request(self._of(subscription), subscription.uri, verb))
        if answer.status == 405 and verb == "PUT":
            self._verb = "POST"
            answer = self._call(subscription, api.subscribe_request(self._of(subscription), subscription.uri, "POST"))
        api.read_subscribed(answer.status, answer.body)

    def holds(self, subscription: Subscription) -> bool:
        """Is it in place, with this address?"""
        answer = self._call(subscription, api.lookup_request(self._of(subscription)))
        return api.read_lookup(answer.status, answer.body) == subscription.uri

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove it; one that is not there is fine."""
        answer = self._call(subscription, api.unsubscribe_request(self._of(subscription)))
        api.read_unsubscribed(answer.status, answer.body)

    def probe(self) -> None:
        """Are the credentials good now?"""
        self._gateway.probe(self._host)

    def close(self) -> None:
        """Let go of all connections."""
        self._gateway.close()

    def _page(self, number: int) -> api.TenantPage:
        answer = self._patience(lambda: self._gateway.call(self._host, api.user_tenants_request(number)))
        return api.read_user_tenants(answer.status, answer.body)

    def _call(self, subscription: Subscription, request: ApiRequest) -> Answer:
        return self._patience(lambda: self._gateway.call(subscription.tenant.name, request))

    def _of(self, subscription: Subscription) -> str:
        subscriber = replace(self._gateway.application, name=subscription.subscriber, version=subscription.version)
        return api.subscription_path(self._path, subscriber, subscription.topic)
