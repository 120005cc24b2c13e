"""A conversation played from a script: what the session has to send, and what it gets."""

from __future__ import annotations

from collections.abc import Sequence

from subscriber.platforms.smartrest.realtime import Channel, Realtime, Template
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Request, Turn

X_ID = "com.acme.gw-v3"
CLIENT = "3k9x0q7w1vj2m5d8t4b6"


def realtime(
    *channels: str,
    path: str = "/notification/operations",
    x_ids: tuple[str, ...] = (),
    templates: Sequence[Template] = (),
) -> Realtime:
    """Every channel with the same further X-Ids."""
    made = tuple(Channel(name=name, x_ids=x_ids) for name in channels or ("/5010",))
    return Realtime(tenant="t402119", path=path, x_id=X_ID, channels=made, templates=tuple(templates))


def answered(session: Session, body: bytes, status: int = 200) -> tuple[Request, Turn]:
    """Ask for the next request and answer it, in pieces of three bytes."""
    request = session.request()
    assert request is not None
    for start in range(0, len(body), 3):
        session.receive(body[start : start + 3])
    return request, session.end(status)


def play(session: Session, script: Sequence[tuple[bytes, bytes]]) -> list[Turn]:
    """Each request's body has to be as written; returns what came of each."""
    turns = []
    for wanted, answer in script:
        request, turn = answered(session, answer)
        assert request.body == wanted
        turns.append(turn)
    return turns


def connected(wanted: Realtime | None = None, client: str = CLIENT, batch: str = "") -> Session:
    """A session whose subscriptions are made; ``batch``: one connect was answered with that number."""
    session = Session(wanted or realtime())
    answered(session, b"20,77120\n" * len(session.realtime.x_ids))
    answered(session, client.encode())
    answered(session, b"")
    assert session.state is State.CONNECT
    if batch:
        answered(session, b"88," + batch.encode())
    return session
