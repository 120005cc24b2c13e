"""One conversation with a notification endpoint: requests out, pieces of answers in, turns out.

The package says how to drive it. It never raises at what a server sends: any bytes give rows, unreadable records, a
failure, or a new handshake. What is kept between two runs is ``value``, stored with the rows of the same turn.

``covered`` says whether the server keeps for us what is published now. A session that got ``lost`` takes along what
it still held, and until the next one has its subscriptions nobody collects: that is a gap. So is, where answers are
not acknowledged, an answer that did not arrive whole. Both are told, neither is guessed away.
"""

from __future__ import annotations

from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.smartrest import messages, records, verdicts
from subscriber.platforms.smartrest.memory import Memory
from subscriber.platforms.smartrest.messages import Advice, Contents
from subscriber.platforms.smartrest.realtime import Realtime
from subscriber.platforms.smartrest.records import Broken
from subscriber.platforms.smartrest.subscriptions import Subscriptions
from subscriber.platforms.smartrest.templates import PATH, Collections
from subscriber.platforms.smartrest.transitions import ESTABLISHED, RESTING, TRANSITIONS, Event, State
from subscriber.platforms.smartrest.turns import ANSWER_LOST, SESSION_LOST, Answer, Refused, Request, Turn
from subscriber.platforms.smartrest.verdicts import Verdict

HEARTBEAT_SECONDS = 600.0  # a space through every open poll (seed 003)
GRACE_SECONDS = 120.0  # the vendor's clients give up one to two minutes after a missing space
ANSWER_SECONDS = 60.0  # for answers that nothing holds back; gateways give up after a minute (assumption)
INTERVAL_MAX_SECONDS = 3600.0  # half of the two hours after which the platform ends idle sessions
STUMBLES = 3  # error rows one after another before a session is given up: neither a hiccup nor a dead end

PROVEN = 10  # connects; a balancer that sends each one to another node lets some succeed by chance

CARRYING = frozenset({State.SUBSCRIBE, State.CONNECT})  # whose answers may hold notifications


class Session:
    """A conversation about one X-Id. Not for use by several threads."""

    def __init__(self, realtime: Realtime, value: bytes = b"") -> None:
        """Goes on with the session in ``value``, else begins anew. Raises ``ValueError`` for a strange value."""
        self.realtime = realtime
        self._begin(Memory.parse(value))
        self.state = State.CHECK
        if self._memory.client_id:
            self.state = State.CONNECT if self._subscriptions.complete else State.SUBSCRIBE
        self._advice = Advice()
        self._wait_seconds = 0.0
        self._plain = False  # the next handshake asks for no acknowledgement: it was refused with one
        self._collections = Collections(realtime)
        self._answer: Answer | None = None  # to the request that is out

    @property
    def value(self) -> bytes:
        """What to keep of the session with the rows of the last turn; empty if there is none."""
        return self._memory.value

    @property
    def covered(self) -> bool:
        """Does the server keep for us what is published now, as far as we know?"""
        return self._memory.covered

    @property
    def lost(self) -> bool:
        """Did a session get lost, and none cover us since? Also after a restart: the gap is still open then."""
        return self._memory.lost

    @property
    def numbered(self) -> bool:
        """Do rows carry line numbers, as far as anything has told?"""
        return self._memory.numbered

    @property
    def acknowledged(self) -> bool:
        """Does the server keep its answers until the next connect? Only once it has numbered one."""
        return bool(self._memory.batch)

    @property
    def quiet(self) -> bool:
        """Has nothing but heartbeats come? Then a poll may be abandoned without losing what it carries."""
        return self._answer is None or self._answer.quiet

    def request(self) -> Request | None:
        """What to send now; None while a request is out, or at rest. Asking for it says: the last turn is stored."""
        if self._answer is not None or self.state in RESTING:
            return None
        self._answer = Answer()
        path, headers, body = self._ask()
        return Request(
            state=self.state,
            path=path,
            headers={"Content-Type": "text/plain"} | headers,
            body=body,
            wait_seconds=self._wait_seconds,
            silence_seconds=self._silence_seconds(),
        )

    def receive(self, piece: bytes) -> bool:
        """A piece of the answer's body, as it comes. False: too much; read no further, call ``end``."""
        return self._awaited().receive(piece)

    def end(self, status: int, retry_after_seconds: int | None = None) -> Turn:
        """The answer is whole. ``retry_after_seconds``: as its header says, if it does."""
        answer = self._awaited()
        verdict = verdicts.of_status(self.state, status, retry_after_seconds)
        if verdict is not None:
            return self._judged(verdict, Contents())
        if answer.too_much:
            failure = PlatformUnavailable("an answer larger than any should be", reason="answer_too_large")
            return self._cut(Verdict(Event.GONE if self.state in ESTABLISHED else Event.FAILED, failure))
        if self.state in (State.CHECK, State.REGISTER):
            return self._judged(self._of_collections(answer.body), Contents())
        made = messages.contents(records.read(answer.body), self.realtime.x_id)
        return self._judged(verdicts.of_contents(self.state, made), made)

    def broken(self, detail: str) -> Turn:
        """The request was sent; its answer did not come, or not whole."""
        return self._cut(Verdict(Event.FAILED, PlatformUnavailable(detail, reason="connection_lost")))

    def unreachable(self, detail: str) -> Turn:
        """The request was never sent."""
        self._awaited()
        return self._judged(Verdict(Event.FAILED, PlatformUnavailable(detail, reason="unreachable")), Contents())

    def abandon(self) -> None:
        """We broke a poll off ourselves, to stop or to close. See ``quiet``."""
        self._answer = None

    def close(self) -> None:
        """End the session on the server too: its last request is 84. A poll that is out is abandoned."""
        self._move(Event.CLOSE)
        self.abandon()

    def restart(self) -> None:
        """Begin anew after the server has sent us away. Raises ``ValueError`` in any other state."""
        self._move(Event.RESTART)

    def _awaited(self) -> Answer:
        if self._answer is None:
            raise ValueError("no request is out")
        return self._answer

    def _begin(self, memory: Memory) -> None:
        self._memory = memory
        self._subscriptions = Subscriptions(self.realtime.channels, memory)
        self._connects = 0  # answered as asked
        self._stumbles = 0

    def _ask(self) -> tuple[str, dict[str, str], bytes]:
        """Path, headers and body of the request that belongs to the state."""
        if self.state is State.CHECK:
            return PATH, *self._collections.check()
        if self.state is State.REGISTER:
            return PATH, *self._collections.register()
        return self.realtime.path, {"X-Id": self.realtime.x_id}, self._rows()

    def _rows(self) -> bytes:
        if self.state is State.HANDSHAKE:
            return messages.handshake(acknowledged=not self._plain)
        if self.state is State.SUBSCRIBE:
            return records.write(self._subscriptions.ask())
        if self.state is State.CONNECT:
            return messages.connect(self._memory.client_id, self._memory.batch)
        return messages.disconnect(self._memory.client_id)

    def _silence_seconds(self) -> float:
        if self.state is not State.CONNECT:
            return ANSWER_SECONDS
        held = self._advice.timeout_ms
        return GRACE_SECONDS + (HEARTBEAT_SECONDS if held is None else min(HEARTBEAT_SECONDS, held / 1000))

    def _of_collections(self, body: bytes) -> Verdict:
        try:
            if self.state is State.REGISTER:
                self._collections.registered(body)
            elif self._collections.lacking(body):
                return Verdict(Event.MISSING)
        except (PlatformRefused, PlatformUnavailable) as error:
            return Verdict(Event.FAILED, error)
        return Verdict(Event.DONE)

    def _cut(self, verdict: Verdict) -> Turn:
        """An answer that is not whole: a numbered one comes again, of any other we keep what we have."""
        answer, passing = self._awaited(), verdict.event is Event.FAILED
        if self.state is not State.CONNECT or passing and self.acknowledged:
            return self._judged(verdict, Contents())
        made = messages.contents(records.read_cut(answer.body), self.realtime.x_id)
        said = verdicts.of_contents(self.state, made)
        # What is too much now is too much when it comes again: nothing that may pass keeps that session.
        stands = said.event is Event.DONE or said.event is Event.FAILED and not passing
        return self._judged(verdict if stands else said, made, gap=ANSWER_LOST)

    def _judged(self, verdict: Verdict, made: Contents, gap: str = "") -> Turn:
        """Learn from an answer, move on, and tell what came of it."""
        before, self._answer = self.state, None
        self._learn(made)
        verdict, refused = self._consequences(verdict, made)
        self._move(verdict.event)
        if before in ESTABLISHED and self.state not in ESTABLISHED:
            lost = self.covered and before is not State.DISCONNECT
            gap = SESSION_LOST if lost else gap
            self._begin(Memory(numbered=self.numbered, lost=lost or self.lost and self.state is not State.CLOSED))
        if self.state is State.CONNECT:
            self._memory.covered, self._memory.lost = True, False
        paced = before is State.CONNECT or made.advice is not None and verdict.failure is not None
        self._wait_seconds = self._interval_seconds() if paced else 0.0
        return Turn(
            state=self.state,
            rows=made.rows if before in CARRYING else [],
            unreadable=_unreadable(made) if before is State.CONNECT else [],
            failure=verdict.failure,
            refused=refused,
            gap=gap,
            covered=self.covered,
        )

    def _learn(self, made: Contents) -> None:
        if made.advice is not None:
            self._advice = made.advice.upon(self._advice)
        if made.numbered is not None:
            self._memory.numbered = made.numbered
        if made.batch and self._memory.acknowledged:
            self._memory.batch = made.batch

    def _consequences(self, verdict: Verdict, made: Contents) -> tuple[Verdict, Refused | None]:
        """What the verdict means here, and the channel that was refused, if one was."""
        if self.state is State.HANDSHAKE:
            return self._after_handshake(verdict, made), None
        if self.state is State.SUBSCRIBE:
            return self._after_subscribe(verdict)
        if self.state is State.CONNECT:
            return self._after_connect(verdict, made), None
        return verdict, None

    def _after_handshake(self, verdict: Verdict, made: Contents) -> Verdict:
        if verdict.event is Event.DONE:
            known = Memory(client_id=verdicts.client_id(made), numbered=self.numbered, lost=self.lost)
            known.acknowledged = not self._plain
            self._begin(known)
            self._plain = False  # the next one tries again: servers are updated
        elif verdict.refused:
            self._plain = not self._plain
        return verdict

    def _after_subscribe(self, verdict: Verdict) -> tuple[Verdict, Refused | None]:
        refused = None
        if verdict.event is Event.DONE:
            self._subscriptions.granted()
        elif verdict.refused and verdict.failure is not None:
            channel = self._subscriptions.refused()
            refused = Refused(channel, verdict.failure) if channel else None
        else:
            return _soon_lost(verdict), None
        if not self._subscriptions.complete:
            return Verdict(Event.PART), refused
        if not self._memory.subscribed:  # perhaps it is the session that is not accepted
            return Verdict(Event.GONE, verdict.failure), refused
        return Verdict(Event.DONE), refused

    def _after_connect(self, verdict: Verdict, made: Contents) -> Verdict:
        self._stumbles = self._stumbles + 1 if made.refusals else 0
        self._plain = verdict.refused and self._memory.acknowledged
        if verdict.event is Event.DONE:
            self._connects += 1
        elif verdict.event is Event.FAILED and self._stumbles >= STUMBLES:
            return Verdict(Event.GONE, verdict.failure)
        elif self._connects < PROVEN:
            return _soon_lost(verdict)
        return verdict

    def _interval_seconds(self) -> float:
        return min((self._advice.interval_ms or 0) / 1000, INTERVAL_MAX_SECONDS)

    def _move(self, event: Event) -> None:
        try:
            self.state = TRANSITIONS[self.state][event]
        except KeyError:
            raise ValueError(f"a session in state {self.state} cannot {event}") from None


def _soon_lost(verdict: Verdict) -> Verdict:
    """Of a session that has not proven itself: to lose it is a failure, so that nobody spins."""
    if verdict.event is not Event.GONE or verdict.failure is not None:
        return verdict
    failure = PlatformUnavailable("a session was lost soon after it was made", reason="session_lost")
    return Verdict(Event.GONE, failure)


def _unreadable(made: Contents) -> list[Broken]:
    return made.broken + [Broken(value.encode(), "row") for value in made.lone]
