"""How old the application credentials are: a warning a month before the platform stops taking them.

The platform tells nobody when it issued credentials, so their first use here counts; they may be older than that, by
as long as they lay unused. A new version of the application, and a handover, bring a new client id and start anew;
credentials that were issued again under the same client id have to be said to be new (`check --renewed`), for
nothing that could be compared is kept of the secret.

Credentials are valid for 365 days: "Local Development", the platform's guide on application credentials.
"""

from __future__ import annotations

from datetime import timedelta

from subscriber.errors import CredentialsOld
from subscriber.store import Clock, Finding, Registry

VALID_DAYS = 365
WARN_DAYS = 335  # a month to find whoever may issue new ones, and to deploy them


class Credentials:
    """The configured application credentials, by their client id (which is no secret)."""

    def __init__(self, client_id: str, registry: Registry, clock: Clock) -> None:
        self._client_id = client_id
        self._registry = registry
        self._clock = clock

    def see(self) -> None:
        """Remember the first use. Cheap where it is remembered. Raises the store's errors, as all here."""
        if self._registry.credentials_since(self._client_id) is None:
            self._registry.see_credentials(self._client_id)

    def renew(self) -> None:
        """Count from now: they were issued anew."""
        self._registry.renew_credentials(self._client_id)

    def age(self) -> timedelta:
        """Since their first use; nothing if they were not used yet."""
        since = self._registry.credentials_since(self._client_id)
        return timedelta(0) if since is None else max(timedelta(0), self._clock() - since)

    def age_days(self) -> float:
        return self.age() / timedelta(days=1)

    def require_young(self) -> None:
        """Raises ``CredentialsOld`` from ``WARN_DAYS`` on."""
        days = self.age().days
        if days >= WARN_DAYS:
            raise CredentialsOld(_told(days))

    def finding(self) -> Finding:
        """For `check`."""
        days = self.age().days
        return Finding(name="credentials_age", ok=days < WARN_DAYS, detail=_told(days))


def _told(days: int) -> str:
    used = f"first used here {days} days ago, valid for {VALID_DAYS}"
    if days < WARN_DAYS:
        return used
    return f"{used}: issue new ones in the cockpit; if these are new, say so by `check --renewed`"
