"""What a person does about conversations of Cumulocity real-time: templates registered, stopped sessions begun anew,
sessions ended.

A worker needs none of it to begin: its conversations look for their templates by themselves. What is done here goes
through the same session, so it is done in the same way. Collections of templates stay when a conversation is
unregistered: devices may use them, and they never change.

A worker that runs is asked by a fact of the channel to begin a stopped session anew. A session that is ended here
while a worker holds it is replaced by the worker, and what falls between is a gap.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence

from subscriber.channels.conversations import COVERAGE, RESTART, ROWS, SESSION, fact_name, place_of
from subscriber.cumulocity.gateway import ServiceGateway
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.model import SMARTREST, Tenant
from subscriber.platforms.api import ApiRequest
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.platforms.smartrest.session import Session
from subscriber.platforms.smartrest.transitions import State
from subscriber.platforms.smartrest.turns import Turn
from subscriber.registration.apply import Applier, Observe, Report
from subscriber.registration.census import Survey
from subscriber.registration.lock import locked
from subscriber.registration.plan import Change, Subscribe, Subscription, Unsubscribe
from subscriber.registration.reconciler import Run
from subscriber.registration.roster import Verdict
from subscriber.store import ChannelFact, ChannelRow, Clock, Finding, Store, TenantState

LOCK = "registration:smartrest"
TEMPLATES, SESSIONS = "templates", "session"  # topics of what is registered
HALTED = "stopped"  # of ``store.ChannelRow``
LOOKING = frozenset({State.CHECK, State.REGISTER})


class ConversationRegistrar:
    """Of the configured conversations. Methods raise store errors; what fails is in the report."""

    platform = SMARTREST

    def __init__(
        self,
        realtime: Iterable[Realtime],
        gateway: ServiceGateway,
        store: Store,
        *,
        stop: threading.Event,
        clock: Clock,
    ) -> None:
        """``stop`` ends work between two calls. ``clock`` is the store's."""
        self._realtime = {(one.tenant, one.path, one.x_id): one for one in realtime}
        self._gateway = gateway
        self._store = store
        self._registry = store.registry
        self._stop = stop
        self._clock = clock

    def survey(self, *, confirmed: bool = False, only: Tenant | None = None) -> Survey:
        """Whose conversations are configured. The list is our own, so nobody leaves by it."""
        tenants = dict.fromkeys(place_of(one).tenant for one in self._realtime.values())
        gone = [one for one in tenants if self._registry.tenant_state(one) == TenantState.GONE]
        verdict = Verdict(
            served=[one for one in tenants if one not in gone],
            present=(),
            missing=(),
            leaving=(),
            waiting=(),
            erased=gone,
            departed=frozenset(gone),
        )
        return Survey(verdict=verdict, complete=True, read_at=self._clock())

    def changes(self, survey: Survey, only: Tenant | None = None) -> Iterator[Change]:
        """What a run would change, for all tenants or one; the platform is asked for templates."""
        for tenant in survey.verdict.served:
            if only in (None, tenant):
                yield from self._wanted(tenant)

    def loses(self, change: Change) -> str:
        """Nothing is lost: templates are only added, and a stopped session brings nothing any more."""
        return ""

    def run(self, *, confirmed: bool = False, observe: Observe | None = None) -> Run:
        """One whole run. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            survey = self.survey()
            applier = Applier(self._perform, self._registry, stop=self._stop, fence=fence, lost=lost, observe=observe)
            applier.run(self._wanted(tenant) for tenant in survey.verdict.served)
        return Run(survey=survey, report=applier.report)

    def register(self, tenant: Tenant, observe: Observe | None = None) -> Report:
        """Bring one tenant in order now. Needs no lock: what is made twice is found."""
        applier = Applier(self._perform, self._registry, stop=self._stop, observe=observe)
        applier.run_one(self._wanted(tenant))
        return applier.report

    def registered(self, only: Tenant | None = None) -> Iterator[Change]:
        """What ``unregister`` would end: sessions that are remembered."""
        for realtime in self._realtime.values():
            if only in (None, place_of(realtime).tenant) and self._fact(realtime, SESSION):
                yield Unsubscribe(_subscription(realtime, SESSIONS), "asked")

    def unregister(self, only: Tenant | None = None, observe: Observe | None = None) -> Report:
        """End sessions at the platform and forget them. Raises ``LockHeld``."""
        lost = threading.Event()
        with locked(self._registry, LOCK, lost) as fence:
            applier = Applier(self._perform, self._registry, stop=self._stop, fence=fence, lost=lost, observe=observe)
            applier.run([change] for change in self.registered(only))
        return applier.report

    def probe(self) -> Iterator[Finding]:
        """Are the templates of all conversations there, and may we ask?"""
        problems = [problem for one in self._realtime.values() if (problem := self._problem(one))]
        text = (
            f"{len(problems)} of {len(self._realtime)} lack something: {problems[0]}" if problems else "all are there"
        )
        yield Finding(name="smartrest_templates", ok=not problems, detail=text)

    def findings(self) -> Iterator[Finding]:
        """What is remembered of the channels."""
        halted = len(self._halted())
        text = (
            f"{halted} were sent away by the server: `register --apply` begins anew" if halted else "none is stopped"
        )
        yield Finding(name="smartrest_sessions", ok=not halted, detail=text)

    def close(self) -> None:
        """Let go of all connections."""
        self._gateway.close()

    def _wanted(self, tenant: Tenant) -> list[Change]:
        halted = self._halted()
        changes: list[Change] = []
        for realtime in self._of(tenant):
            if why := self._lacking(realtime):
                changes.append(Subscribe(_subscription(realtime, TEMPLATES), why))
            if place_of(realtime) in halted:
                changes.append(Subscribe(_subscription(realtime, SESSIONS), HALTED))
        return changes

    def _of(self, tenant: Tenant) -> Sequence[Realtime]:
        return [one for one in self._realtime.values() if place_of(one).tenant == tenant]

    def _halted(self) -> set[tuple[Tenant, str, str]]:
        rows = self._registry.channels(SMARTREST)
        return {(row.tenant, row.channel, row.name) for row in rows if row.state == HALTED}

    def _lacking(self, realtime: Realtime) -> str:
        """Why templates have to be looked after; empty: all are there. Nobody is asked once it has to stop."""
        if self._stop.is_set():
            return "unsure"
        session = Session(realtime)
        try:
            turn = self._turn(session)
        except (PlatformRefused, PlatformUnavailable):
            return "unsure"  # doing it tells why
        if turn.failure is not None:
            return "unsure"
        return "new" if turn.state is State.REGISTER else ""

    def _problem(self, realtime: Realtime) -> str:
        try:
            turn = self._turn(Session(realtime))
        except (PlatformRefused, PlatformUnavailable) as error:
            return f"{realtime}: {error.detail}"
        if turn.failure is not None:
            return f"{realtime}: {turn.failure.detail}"
        return f"{realtime}: `register --apply` creates its templates" if turn.state is State.REGISTER else ""

    def _perform(self, change: Change) -> bool:
        subscription = change.subscription
        realtime = self._realtime[subscription.tenant.name, subscription.uri, subscription.subscriber]
        if isinstance(change, Unsubscribe):
            self._end(realtime)
        elif subscription.topic == SESSIONS:
            self._remember(realtime, {RESTART: secrets.token_bytes(8)})
        else:
            self._look_for_templates(realtime)
        return False

    def _look_for_templates(self, realtime: Realtime) -> None:
        session = Session(realtime)
        for _ in range(2 * len(realtime.x_ids) + 1):
            turn = self._turn(session)
            if turn.failure is not None:
                raise turn.failure
            if turn.state not in LOOKING:
                return

    def _end(self, realtime: Realtime) -> None:
        """84, then nothing of it is remembered. A platform that does not know it any more may say so as it likes."""
        session = Session(realtime, self._fact(realtime, SESSION))
        session.close()
        if session.state is not State.CLOSED:
            turn = self._turn(session)
            if turn.failure is not None and turn.state is not State.CLOSED:
                raise turn.failure
        self._remember(realtime, dict.fromkeys((SESSION, ROWS, COVERAGE, RESTART), b""))
        self._registry.remove_channels([self._row(realtime)])

    def _turn(self, session: Session) -> Turn:
        """Ask what the session has to ask. Raises ``PlatformRefused``, ``PlatformUnavailable``."""
        request = session.request()
        assert request is not None
        posted = ApiRequest(method="POST", path=request.path, headers=request.headers, body=request.body)
        answer = self._gateway.call(session.realtime.tenant, posted)
        session.receive(answer.body)
        return session.end(answer.status)

    def _fact(self, realtime: Realtime, what: str) -> bytes:
        place = place_of(realtime)
        return self._registry.channel_fact(place.tenant, place.channel, fact_name(place, what))

    def _remember(self, realtime: Realtime, values: dict[str, bytes]) -> None:
        place = place_of(realtime)
        facts = [
            ChannelFact(place.tenant, place.channel, fact_name(place, what), value) for what, value in values.items()
        ]
        self._store.inbox.add([], [], facts)

    def _row(self, realtime: Realtime) -> ChannelRow:
        place, now = place_of(realtime), self._clock()
        return ChannelRow(
            tenant=place.tenant,
            channel=place.channel,
            name=place.name,
            state="",
            detail="",
            since=now,
            seen_at=now,
        )


def _subscription(realtime: Realtime, topic: str) -> Subscription:
    return Subscription(
        tenant=place_of(realtime).tenant,
        topic=topic,
        subscriber=realtime.x_id,
        version=realtime.path,
        uri=realtime.path,
    )
