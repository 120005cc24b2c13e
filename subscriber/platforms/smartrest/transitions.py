"""The states of a conversation and what moves it on, as a table. Nothing else moves it.

docs/smartrest-session.md draws it; a test keeps the drawing in step. The client states of the Bayeux protocol are
the model; checking and registering templates comes before them: without templates SmartREST has no notifications.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """What is asked next, or being asked now."""

    CHECK = "check"  # does the platform have the templates of every X-Id?
    REGISTER = "register"  # create a collection that it lacks
    HANDSHAKE = "handshake"  # a new session: 80
    SUBSCRIBE = "subscribe"  # what the session lacks of the channels wanted, or has too much: 81, 82
    CONNECT = "connect"  # the long poll: 83, again and again
    STOPPED = "stopped"  # the server wants no more of us: a person decides
    DISCONNECT = "disconnect"  # tell the server to forget the session: 84
    CLOSED = "closed"  # the end


class Event(StrEnum):
    """What an answer means, or what we decided."""

    DONE = "done"  # answered as asked
    PART = "part"  # answered; some of it is still to be asked
    MISSING = "missing"  # a collection of templates is not there: row 40
    FAILED = "failed"  # no answer, or an error that may pass: the same again
    GONE = "gone"  # the server does not know the session any more: advice `handshake`, error rows
    NONE = "none"  # advice `none`
    RESTART = "restart"  # we: an operator starts a stopped session again
    CLOSE = "close"  # we: the channel is unregistered


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CHECK: {
        Event.DONE: State.HANDSHAKE,
        Event.MISSING: State.REGISTER,
        Event.FAILED: State.CHECK,
        Event.CLOSE: State.CLOSED,
    },
    State.REGISTER: {
        Event.DONE: State.CHECK,
        Event.FAILED: State.CHECK,
        Event.CLOSE: State.CLOSED,
    },
    State.HANDSHAKE: {
        Event.DONE: State.SUBSCRIBE,
        Event.MISSING: State.CHECK,
        Event.FAILED: State.HANDSHAKE,
        Event.NONE: State.STOPPED,
        Event.CLOSE: State.CLOSED,
    },
    State.SUBSCRIBE: {
        Event.DONE: State.CONNECT,
        Event.PART: State.SUBSCRIBE,
        Event.MISSING: State.CHECK,
        Event.FAILED: State.SUBSCRIBE,
        Event.GONE: State.HANDSHAKE,
        Event.NONE: State.STOPPED,
        Event.CLOSE: State.DISCONNECT,
    },
    State.CONNECT: {
        Event.DONE: State.CONNECT,
        Event.MISSING: State.CHECK,
        Event.FAILED: State.CONNECT,
        Event.GONE: State.HANDSHAKE,
        Event.NONE: State.STOPPED,
        Event.CLOSE: State.DISCONNECT,
    },
    State.STOPPED: {
        Event.RESTART: State.HANDSHAKE,
        Event.CLOSE: State.CLOSED,
    },
    State.DISCONNECT: {
        Event.DONE: State.CLOSED,
        Event.FAILED: State.DISCONNECT,
        Event.GONE: State.CLOSED,
        Event.MISSING: State.CLOSED,
        Event.NONE: State.CLOSED,
        Event.CLOSE: State.DISCONNECT,
    },
    State.CLOSED: {
        Event.CLOSE: State.CLOSED,
    },
}

RESTING = frozenset({State.STOPPED, State.CLOSED})  # nothing is asked
ESTABLISHED = frozenset({State.SUBSCRIBE, State.CONNECT, State.DISCONNECT})  # there is a client id
