"""Declarations are read once and shown without secrets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from subscriber.settings.declaring import MASK, declared, default_of, read, setting, shown, without_secrets


@dataclass(frozen=True)
class Example:
    size: int = setting("SIZE", 3, "how large", parse=int)
    token: str = setting("TOKEN", "", "what for", secret=True)
    place: str = setting("PLACE", "", "where", address=True)
    names: tuple[str, ...] = setting("NAMES", ("a", "b"), "who")
    plain: int = 7


def test_a_declaration_says_variable_default_and_meaning() -> None:
    assert list(declared(Example)) == ["size", "token", "place", "names"]
    assert declared(Example)["size"][:2] == ("SIZE", "how large")
    assert default_of(Example, "size") == 3


def test_what_is_not_set_is_the_default_and_says_so() -> None:
    origins: dict[str, str] = {}
    problems: list[str] = []
    values = read(Example, {"SIZE": " 4 ", "TOKEN": "  "}, origins, problems)
    assert (values["size"], values["token"]) == (4, "")
    assert (origins["SIZE"], origins["TOKEN"], problems) == ("environment", "default", [])


def test_an_unusable_value_is_quoted_only_if_it_is_no_secret() -> None:
    problems: list[str] = []
    read(Example, {"SIZE": "large"}, {}, problems)
    assert problems[0].startswith('SIZE: "large" is not usable')


def test_secrets_are_in_no_repr_and_on_no_screen() -> None:
    example = Example(token="canary", place="amqp://u:canary@h/v")
    assert "canary" not in repr(example)
    assert [shown(getattr(example, name), variable) for name, variable in declared(Example).items()] == [
        "3",
        MASK,
        f"amqp://u:{MASK}@h/v",
        "a,b",
    ]


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("", ""),
        ("sqlite:///var/subscriber.db", "sqlite:///var/subscriber.db"),
        ("https://receiver.example/hook", "https://receiver.example/hook"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:s@h1:1,h2:2/d", f"postgresql://u:{MASK}@h1:1,h2:2/d"),
        ("postgresql:///d?host=/run&password=s", f"postgresql:///d?host={MASK}&password={MASK}"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?sslmode=require"),
        ("postgresql://u:a/s@h/d", MASK),  # the password was not encoded: where it ends is a guess
        ("postgresql://u:s?s@h/d", MASK),
        ("postgresql://u:[s@h/d", MASK),
    ],
)
def test_an_address_is_shown_without_what_it_must_not_tell(address: str, wanted: str) -> None:
    assert without_secrets(address) == wanted
