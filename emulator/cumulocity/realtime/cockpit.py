"""Control verbs of real-time sessions: what their operator sees, and what befalls them."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.control import ControlError, Fields, Verb
from emulator.cumulocity.realtime.advice import POLICIES, Advice
from emulator.cumulocity.realtime.bayeux import Bayeux
from emulator.cumulocity.realtime.sessions import Session

MAX_MS = 86_400_000  # a day, as the knobs of the same meaning
PREFIX = "/cumulocity/sessions"


class Cockpit:
    """Verbs are for the session named ``session``, else for all of ``tenant``, else for all."""

    def __init__(self, bayeux: Bayeux) -> None:
        self._bayeux = bayeux

    def verbs(self) -> dict[tuple[str, str], Verb]:
        return {
            ("GET", PREFIX): self.sessions,
            ("POST", f"{PREFIX}/restart"): self.restart,
            ("POST", f"{PREFIX}/expire"): self.expire,
            ("POST", f"{PREFIX}/cut"): self.cut,
            ("POST", f"{PREFIX}/advise"): self.advise,
        }

    async def sessions(self, fields: Fields) -> Mapping[str, object]:
        return {"items": [_shown(session) for session in self._meant(fields)]}

    async def restart(self, fields: Fields) -> Mapping[str, object]:
        """The server that holds the sessions starts anew; everything else of the platform goes on."""
        return {"lost": self._bayeux.restart()}

    async def expire(self, fields: Fields) -> Mapping[str, object]:
        sessions = self._meant(fields)
        for session in sessions:
            self._bayeux.expire(session)
        return {"expired": len(sessions)}

    async def cut(self, fields: Fields) -> Mapping[str, object]:
        """Held connects break; the sessions stay."""
        return {"cut": sum(self._bayeux.cut(session) for session in self._meant(fields))}

    async def advise(self, fields: Fields) -> Mapping[str, object]:
        """``timeout`` and ``interval`` in ms, ``reconnect``: what is missing stays as it is."""
        sessions, advice = self._meant(fields), _advice(fields)
        for session in sessions:
            self._bayeux.advise(session, advice)
        return {"advised": len(sessions)}

    def _meant(self, fields: Fields) -> list[Session]:
        if "session" in fields:
            session = self._bayeux.sessions.get(fields.text("session"))
            if session is None:
                raise ControlError("there is no such session")
            return [session]
        tenant = fields.text("tenant", "")
        return [session for session in self._bayeux.sessions if tenant in ("", session.tenant)]


def _advice(fields: Fields) -> Advice:
    reconnect = fields.text("reconnect", "")
    if reconnect and reconnect not in POLICIES:
        raise ControlError(f"reconnect is one of {', '.join(POLICIES)}")
    return Advice(_milliseconds(fields, "timeout"), _milliseconds(fields, "interval"), reconnect)


def _milliseconds(fields: Fields, name: str) -> int | None:
    return fields.whole(name, high=MAX_MS) if name in fields else None


def _shown(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "tenant": session.tenant,
        "user": session.user,
        "endpoint": session.family,
        "x_id": session.x_id,
        "reliable": session.reliable,
        "channels": {channel: list(x_ids) for channel, x_ids in session.subscriptions.items()},
        "waiting": len(session.queue),
        "unconfirmed": sum(len(batch.parcels) for batch in session.unconfirmed),
        "held": session.poll is not None,
        "connects": session.connects,
    }
