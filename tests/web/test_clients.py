"""Common names of clients, from TLS or from a proxy's word."""

from __future__ import annotations

import pytest

from subscriber.web.clients import CLIENT_NAMES, client_names, names_in_subject

CN = "notifications.mbedcloud.com"


@pytest.mark.parametrize(
    "subject",
    [
        CN,
        f"CN={CN}",
        f"CN={CN},O=Izuma Networks\\, Inc,L=Cambridge,C=GB",
        f"emailAddress=a@b.example,CN={CN},OU=x+O=y",
        f"serialNumber=1,jurisdictionC=GB,businessCategory=Private Organization,CN={CN}",
    ],
)
def test_a_subject_names_its_client(subject: str) -> None:
    assert names_in_subject(subject) == [CN]


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("", []),
        ("O=only", []),
        (f"O=CN\\={CN},C=GB", []),
        (f"CN={CN},CN=other", [CN, "other"]),
        (f"/C=GB/O=x/CN={CN}", []),
        ("CN=" + "x" * 2000, []),
        ("= , =", []),
        (f"unheard=x,CN={CN}", []),
    ],
)
def test_what_cannot_be_told_names_nobody_or_too_many(subject: str, names: list[str]) -> None:
    assert sorted(names_in_subject(subject)) == sorted(names)


def test_a_proxy_is_asked_where_one_is_set_and_nobody_else() -> None:
    environ = {CLIENT_NAMES: lambda: ["direct"]}
    assert client_names(environ, {"x-subject": "CN=proxied"}, "X-Subject") == ["proxied"]
    assert client_names(environ, {}, "X-Subject") == []
    assert client_names(environ, {"x-subject": "CN=forged"}, "") == ["direct"]
    assert client_names({}, {"x-subject": "CN=forged"}, "") == []
