"""One service per port and per database."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from subscriber.errors import AlreadyRunning, SettingsError
from subscriber.exclusive import Exclusive
from tests.web.serving import ROOT, free_port


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def first() -> Iterator[Exclusive]:
    locks = Exclusive()
    yield locks
    locks.release()


@pytest.fixture
def second() -> Iterator[Exclusive]:
    locks = Exclusive()
    yield locks
    locks.release()


def test_a_port_is_held_once_whatever_the_address(first: Exclusive, second: Exclusive) -> None:
    port = free_port()
    first.take_port("127.0.0.1", port)
    with pytest.raises(AlreadyRunning, match=f"port {port}"):
        second.take_port("0.0.0.0", port)


def test_ports_do_not_disturb_each_other(first: Exclusive, second: Exclusive) -> None:
    first.take_port("127.0.0.1", free_port())
    second.take_port("127.0.0.1", free_port())


def test_a_port_on_which_a_stranger_listens_is_refused(first: Exclusive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        with pytest.raises(AlreadyRunning, match="listens"):
            first.take_port("127.0.0.1", stranger.getsockname()[1])


def test_a_port_shared_by_a_stranger_is_refused_too(first: Exclusive) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as stranger:
        with pytest.raises(AlreadyRunning, match="listens"):
            first.take_port("127.0.0.1", stranger.getsockname()[1])


def test_the_port_itself_stays_free_to_listen_on(first: Exclusive) -> None:
    port = free_port()
    first.take_port("127.0.0.1", port)
    socket.create_server(("127.0.0.1", port), reuse_port=True).close()


def test_an_address_that_is_not_ours_is_a_wrong_setting(first: Exclusive) -> None:
    with pytest.raises(SettingsError, match="HOST"):
        first.take_port("192.0.2.1", free_port())  # RFC 5737: nobody's


@pytest.mark.parametrize("host", ["no such name.invalid", "::ffff:zz"])
def test_an_address_that_is_none_is_a_wrong_setting(first: Exclusive, host: str) -> None:
    with pytest.raises(SettingsError, match="HOST"):
        first.take_port(host, free_port())


def test_a_database_is_held_once_by_whatever_name(first: Exclusive, second: Exclusive, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "inbox.db")
    first.take_database(str(tmp_path / "inbox.db"))
    for name in ("inbox.db", "link.db", "./inbox.db"):
        with pytest.raises(AlreadyRunning, match="database"):
            second.take_database(str(tmp_path / name))


def test_a_folder_that_is_not_there_is_a_wrong_setting(first: Exclusive, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="none"):
        first.take_database(str(tmp_path / "none" / "inbox.db"))


def test_what_is_released_can_be_taken(first: Exclusive, second: Exclusive, tmp_path: Path) -> None:
    first.take_database(str(tmp_path / "inbox.db"))
    first.release()
    second.take_database(str(tmp_path / "inbox.db"))


def test_a_killed_holder_holds_nothing(first: Exclusive, tmp_path: Path) -> None:
    path = str(tmp_path / "inbox.db")
    hold = f"from subscriber.exclusive import *; Exclusive().take_database({path!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"\n"
        with pytest.raises(AlreadyRunning):
            first.take_database(path)
        holder.kill()
        holder.wait(10)
        first.take_database(path)


def test_a_child_that_releases_leaves_the_lock_to_its_parent(
    first: Exclusive, second: Exclusive, tmp_path: Path
) -> None:
    first.take_database(str(tmp_path / "inbox.db"))
    child = os.fork()
    if child == 0:
        first.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(AlreadyRunning):
        second.take_database(str(tmp_path / "inbox.db"))


def test_a_lock_file_that_is_a_link_is_not_followed(first: Exclusive, tmp_path: Path) -> None:
    (tmp_path / "inbox.db.serve.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SettingsError):
        first.take_database(str(tmp_path / "inbox.db"))
    assert not (tmp_path / "precious").exists()
