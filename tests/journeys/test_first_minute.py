"""The first minute of a newcomer."""

from __future__ import annotations

import pytest

from tests.journeys.rehearsal import free_port, last_json_line, python

pytestmark = pytest.mark.journey


def test_the_demonstration_restarts_in_the_middle_and_its_books_are_even() -> None:
    done = python("emulator.demo", "--once", "--port", str(free_port()), "--emulator-port", str(free_port()))
    assert done.returncode == 0, done.stdout + done.stderr
    books = last_json_line(done.stdout)
    assert books["published"] >= 1000
    assert books["attempts"] >= books["published"] + 150  # of MindSphere's 1,080 a fifth comes twice
    assert books["accepted"] == books["handled"] == books["published"]
    assert (books["lost"], books["admitted_twice"], books["handled_twice"]) == (0, 0, 0)


def test_a_taken_port_is_said_in_one_line() -> None:
    from socket import socket

    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = python("emulator.demo", "--once", "--port", port, "--emulator-port", str(free_port()))
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stdout and "Traceback" not in done.stderr
