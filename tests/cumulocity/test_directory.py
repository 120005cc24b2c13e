"""Whose service users we know: read once for all, again when old, at once when a password is refused."""

from __future__ import annotations

import threading

import pytest

from subscriber.cumulocity.directory import FAILED_SECONDS, LIST_SECONDS, Directory
from subscriber.errors import PlatformRefused, PlatformUnavailable
from subscriber.platforms.cumulocity_api import ServiceUser


def user(tenant: str = "t1", password: str = "one") -> ServiceUser:
    return ServiceUser(tenant=tenant, name="service_hub", password=password)


class SmallList:
    """The platform's list and a clock, both in the test's hands."""

    def __init__(self, *users: ServiceUser) -> None:
        self.users = list(users)
        self.error: Exception | None = None
        self.readings = 0
        self.now = 1000.0
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> list[ServiceUser]:
        self.readings += 1
        self.open.wait(10)
        if self.error is not None:
            raise self.error
        return list(self.users)

    def directory(self) -> Directory:
        return Directory(self, monotonic=lambda: self.now)


def test_a_list_is_read_once_while_it_is_young() -> None:
    source = SmallList(user())
    directory = source.directory()
    assert directory.reading() is directory.reading() and directory.user("t1") == user()
    assert source.readings == 1
    source.now += LIST_SECONDS
    source.users.append(user("t2"))
    assert set(directory.reading().users) == {"t1", "t2"} and source.readings == 2


def test_whoever_asks_meanwhile_shares_a_reading() -> None:
    source = SmallList(user())
    directory = source.directory()
    source.open.clear()
    threads = [threading.Thread(target=directory.reading) for _ in range(8)]
    for thread in threads:
        thread.start()
    source.open.set()
    for thread in threads:
        thread.join(10)
    assert source.readings == 1


def test_a_refused_password_has_the_list_read_at_once() -> None:
    source = SmallList(user())
    directory = source.directory()
    old = directory.user("t1")
    source.users = [user(password="two")]
    assert directory.instead_of(old) == user(password="two")
    assert directory.instead_of(old) == user(password="two")
    assert source.readings == 2


def test_a_password_that_is_refused_and_not_replaced_is_asked_about_once_a_reading() -> None:
    source = SmallList(user("t1"), user("t2"))
    directory = source.directory()
    for _ in range(5):
        assert directory.instead_of(directory.user("t1")) is None
        assert directory.instead_of(directory.user("t2")) is None
    assert source.readings == 3
    source.now += LIST_SECONDS
    directory.reading()
    source.users = [user("t1", "two"), user("t2")]
    assert directory.instead_of(user("t1")) == user("t1", "two")


def test_a_tenant_that_one_list_lacks_keeps_its_user() -> None:
    source = SmallList(user("t1"), user("t2"))
    directory = source.directory()
    directory.reading()
    source.users = [user("t1")]
    source.now += LIST_SECONDS
    assert set(directory.reading().users) == {"t1"}
    assert directory.known("t2") == directory.user("t2") == user("t2")


def test_a_tenant_that_no_list_had_is_refused_by_name() -> None:
    directory = SmallList(user()).directory()
    assert directory.known("t9") is None
    with pytest.raises(PlatformRefused, match="t9") as caught:
        directory.user("t9")
    assert caught.value.reason == "tenant_unknown"


def test_a_list_that_cannot_be_read_is_left_alone_for_a_moment_and_known_users_serve_on() -> None:
    source = SmallList(user())
    directory = source.directory()
    directory.reading()
    source.now += LIST_SECONDS
    source.error = PlatformUnavailable("away", reason="unreachable")
    for _ in range(3):
        with pytest.raises(PlatformUnavailable):
            directory.reading()
    assert source.readings == 2 and directory.user("t1") == user()
    source.error = None
    source.now += FAILED_SECONDS
    assert directory.reading().number == 2


def test_nothing_shows_a_password() -> None:
    assert "one" not in repr(SmallList(user()).directory().reading())
