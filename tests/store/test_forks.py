"""What a child process does not inherit. With real connections: see each back end's own tests."""

from __future__ import annotations

import os

from subscriber.store.forks import Forkable


class Thing(Forkable):
    """Something that belongs to one process."""

    def __init__(self) -> None:
        self.start_over()
        self.register()

    def start_over(self) -> None:
        self.made_in = os.getpid()
        self.belonging = object()

    def belongings(self) -> list[object]:
        return [self.belonging]


def test_a_child_starts_over_and_its_parent_does_not() -> None:
    thing = Thing()
    belonging = thing.belonging
    child = os.fork()
    if child == 0:
        os._exit(0 if thing.made_in == os.getpid() and thing.belonging is not belonging else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (thing.made_in, thing.belonging) == (os.getpid(), belonging)
