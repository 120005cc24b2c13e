"""What a platform has bound, in the forms that brokers are known to give."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriber.settings.bindings import (
    POSTGRESQL,
    RABBITMQ,
    Binding,
    Kind,
    address,
    certificates,
    parse,
    the_one,
    verified,
)

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FIELDS = {"host": "h", "port": 5432, "username": "u", "password": "p/@:", "name": "d"}


def bindings(*entries: dict[str, Any]) -> list[Binding]:
    return parse(json.dumps({"some-label-11": list(entries)}))


def entry(name: str = "db", tags: tuple[str, ...] = (), /, **credentials: Any) -> dict[str, Any]:
    return {"name": name, "label": "x", "tags": list(tags), "credentials": credentials}


def found(kind: Kind, /, *tags: str, **credentials: Any) -> str:
    binding = the_one(bindings(entry("db", tags, **credentials)), kind)
    assert binding is not None
    return address(binding, kind)


# which one


@pytest.mark.parametrize(
    ("kind", "tags", "credentials"),
    [
        (POSTGRESQL, ("PostgreSQL", "sql"), FIELDS),
        (POSTGRESQL, ("postgres",), FIELDS),
        (POSTGRESQL, (), {"uri": "postgres://u:p@h/d"}),
        (POSTGRESQL, (), {"url": "postgresql://u:p@h/d"}),
        (RABBITMQ, ("rabbitmq",), {"uri": "amqp://u:p@h"}),
        (RABBITMQ, ("amqp",), {"uri": "amqp://u:p@h"}),
        (RABBITMQ, (), {"uri": "amqps://u:p@h"}),
    ],
)
def test_a_service_is_known_by_a_tag_or_by_the_scheme_of_its_address(
    kind: Kind, tags: tuple[str, ...], credentials: dict[str, Any]
) -> None:
    other = entry("cache", ("redis",), uri="redis://u:p@h")
    binding = the_one(bindings(other, entry("mine", tags, **credentials)), kind)
    assert binding is not None and binding.name == "mine"


def test_a_label_says_nothing() -> None:
    listed = parse(json.dumps({"postgresql": [entry("cache", ("redis",), uri="redis://u:p@h")]}))
    assert the_one(listed, POSTGRESQL) is None


def test_several_of_a_kind_are_named_and_none_is_guessed() -> None:
    several = bindings(entry("b", ("postgresql",), uri="postgres://u:canary@h/d"), entry("a", uri="postgres://h/d"))
    with pytest.raises(ValueError, match=r"several PostgreSQL services are bound \(a, b\).*DATABASE_URL") as caught:
        the_one(several, POSTGRESQL)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "{}", '{"user-provided": []}'])
def test_nothing_bound_is_fine(text: str) -> None:
    assert parse(text) == []


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"a": {}, "b": 1}', '{"a": ["x"]}', '{"a": [{"tags": 1}]}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an object of lists"):
        parse(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 9) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_garbage_is_refused_or_read_but_never_anything_else(value: object) -> None:
    try:
        parse(json.dumps({"label": [{"name": "x", "credentials": {"uri": value}, "tags": [value]}], "other": value}))
    except ValueError:
        pass


def test_a_binding_shows_no_credentials() -> None:
    assert "canary" not in repr(bindings(entry(uri="postgres://u:canary@h/d")))


# its address


def test_an_address_that_is_there_is_used_as_it_is() -> None:
    assert found(POSTGRESQL, uri="postgres://u:p@h/d?sslmode=require") == "postgres://u:p@h/d?sslmode=require"
    both = {"uri": "postgres://u:p@h/d?sslmode=require", "sslmode": "disable"}
    assert found(POSTGRESQL, **both) == "postgres://u:p@h/d?sslmode=require"


def test_what_an_address_leaves_to_a_field_is_added() -> None:
    assert found(POSTGRESQL, uri="postgres://u:p@h/d", sslmode="require") == "postgres://u:p@h/d?sslmode=require"


@pytest.mark.parametrize(
    ("credentials", "wanted"),
    [
        (FIELDS, "postgres://u:p%2F%40%3A@h:5432/d"),
        ({"hostname": "h", "user": "u", "password": "p", "dbname": "d"}, "postgres://u:p@h/d"),
        (FIELDS | {"uri": "jdbc:postgresql://h/d"}, "postgres://u:p%2F%40%3A@h:5432/d"),
        (FIELDS | {"sslmode": "require"}, "postgres://u:p%2F%40%3A@h:5432/d?sslmode=require"),
        (FIELDS | {"host": "fd00::1"}, "postgres://u:p%2F%40%3A@[fd00::1]:5432/d"),
        (FIELDS | {"ssl": True}, "postgresql://u:p%2F%40%3A@h:5432/d"),
    ],
)
def test_a_database_s_address_is_put_together_from_fields(credentials: dict[str, Any], wanted: str) -> None:
    assert found(POSTGRESQL, "postgresql", **credentials) == wanted


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, "amqp://u:p@h:5672/%2F"),
        ({"vhost": "v"}, "amqp://u:p@h:5672/v"),
        ({"ssl": True}, "amqps://u:p@h:5672/%2F"),
    ],
)
def test_a_broker_s_address_is_put_together_from_fields(more: dict[str, Any], wanted: str) -> None:
    fields = {"host": "h", "port": "5672", "username": "u", "password": "p"}
    assert found(RABBITMQ, "rabbitmq", **fields, **more) == wanted


@pytest.mark.parametrize("missing", ["host", "username", "password", "name"])
def test_credentials_without_an_address_are_refused_without_being_told(missing: str) -> None:
    fields = {name: "canary" for name in FIELDS if name not in (missing, "port")}
    with pytest.raises(ValueError, match="bound service db .* set DATABASE_URL") as caught:
        found(POSTGRESQL, "postgresql", **fields)
    assert "canary" not in str(caught.value)


# its certificates


@pytest.mark.parametrize("name", ["sslrootcert", "cacrt", "cacert", "CaCert", "ca_certificate"])
def test_certificates_are_found_under_the_names_that_brokers_use(name: str) -> None:
    (binding,) = bindings(entry(**{name: PEM}))
    assert certificates(binding) == PEM


@pytest.mark.parametrize("credentials", [{}, {"cacrt": None}, {"cacrt": ""}, {"sslrootcert": "/etc/ca.pem"}])
def test_without_certificates_as_text_there_are_none(credentials: dict[str, Any]) -> None:
    (binding,) = bindings(entry(**credentials))
    assert certificates(binding) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("postgres://h/d", "postgres://h/d?sslrootcert=%2Ft%2Fca.pem&sslmode=verify-full"),
        ("postgres://h/d?a=b", "postgres://h/d?a=b&sslrootcert=%2Ft%2Fca.pem&sslmode=verify-full"),
        ("postgres://h/d?sslmode=verify-ca", "postgres://h/d?sslmode=verify-ca&sslrootcert=%2Ft%2Fca.pem"),
    ],
)
def test_a_server_has_to_prove_itself_as_strictly_as_the_binding_says_or_in_full(before: str, after: str) -> None:
    assert verified(before, "/t/ca.pem") == after
