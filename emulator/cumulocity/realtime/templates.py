"""Templates: how a row becomes a request (10), and how JSON becomes rows (11). Pure.

"SmartREST 1.0, templates" and "registration process". A collection of templates belongs to an X-Id. Assumed: an empty
condition always holds, a value that is missing leaves its column empty, objects and lists are written as JSON, and
a request without a list of types takes its arguments as they come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from emulator.cumulocity.realtime.jsonpath import JsonPath

REQUEST, RESPONSE = "10", "11"
METHODS = ("GET", "POST", "PUT", "DELETE")
WITH_BODY = ("POST", "PUT")
MAX_ROWS = 1_000  # of one collection; the vendor's largest has some 120
Values = tuple[str, ...]

TYPES: dict[str, Callable[[str], bool]] = {
    "STRING": lambda text: True,
    "DATE": lambda text: bool(re.match(r"\d{4}-\d\d-\d\dT", text)),
    "UNSIGNED": lambda text: bool(re.fullmatch(r"\d+", text)),
    "INTEGER": lambda text: bool(re.fullmatch(r"[+-]?\d+", text)),
    "NUMBER": lambda text: bool(re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text)),
}
NOW = "NOW"  # the server's own time: consumes no argument


class TemplateError(ValueError):
    """The collection is refused; the text is the platform's reason."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


class ArgumentError(ValueError):
    """A row does not fit its request template."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the REST API."""

    method: str
    uri: str
    content_type: str
    accept: str
    body: str


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A row 10, its members in their order."""

    id: str
    method: str
    uri: str
    content_type: str
    accept: str
    placeholder: str
    types: Values
    body: str

    def request(self, arguments: Sequence[str], now: str) -> Request:
        """``ArgumentError`` if number or form of the arguments do not fit."""
        values = _arguments(self, arguments, now)
        uri = _filled(self.uri, self.placeholder, values, lambda value: quote(value, safe=""))
        body = _filled(self.body, self.placeholder, values, lambda value: json.dumps(value)[1:-1])
        return Request(self.method, uri, self.content_type, self.accept, body)


@dataclass(frozen=True, slots=True)
class ResponseTemplate:
    """A row 11."""

    id: str
    base: JsonPath
    condition: JsonPath | None
    values: tuple[JsonPath, ...]

    def rows(self, document: object) -> Iterator[Values]:
        """A row for the base, or for each element of a list there, in which the condition exists."""
        for found in self.base.find(document):
            for element in found if isinstance(found, list) else [found]:
                if self.condition is None or self.condition.find(element):
                    yield (self.id, *(_text(path.find(element)) for path in self.values))


@dataclass(frozen=True, slots=True)
class Collection:
    """The templates of one X-Id; ``id`` is that of the object they are stored as."""

    id: str
    x_id: str
    requests: dict[str, RequestTemplate]
    responses: tuple[ResponseTemplate, ...]

    def rows(self, document: object) -> tuple[Values, ...]:
        """Every template that matches fires."""
        return tuple(row for template in self.responses for row in template.rows(document))


def collection(id: str, x_id: str, rows: Iterable[Sequence[str]]) -> Collection:
    """The collection that these rows define; ``TemplateError`` names the first row that is wrong."""
    requests: dict[str, RequestTemplate] = {}
    responses: list[ResponseTemplate] = []
    for line, row in enumerate(rows, 1):
        try:
            if line > MAX_ROWS:
                raise ValueError("too many templates")
            template = _template(row)
            if template.id in requests or template.id in (one.id for one in responses):
                raise ValueError("duplicate message ids")
        except ValueError as error:
            raise TemplateError(str(error), line) from error
        if isinstance(template, RequestTemplate):
            requests[template.id] = template
        else:
            responses.append(template)
    return Collection(id, x_id, requests, tuple(responses))


def _template(row: Sequence[str]) -> RequestTemplate | ResponseTemplate:
    if not row or row[0] not in (REQUEST, RESPONSE):
        raise ValueError("not a valid id for template creation")
    if len(row) < 2 or not row[1].isdecimal():
        raise ValueError("not a valid id for template creation")
    return _request_template(row) if row[0] == REQUEST else _response_template(row)


def _response_template(row: Sequence[str]) -> ResponseTemplate:
    if len(row) < 5:
        raise ValueError("bad response template")
    _, id, base, condition, *values = row
    return ResponseTemplate(
        id, JsonPath.read(base), JsonPath.read(condition) if condition else None, tuple(map(JsonPath.read, values))
    )


def _request_template(row: Sequence[str]) -> RequestTemplate:
    if not 4 <= len(row) <= 9:
        raise ValueError("bad request template")
    _, id, method, uri, content_type, accept, placeholder, types, body = [*row, *[""] * (9 - len(row))]
    if method not in METHODS or not uri.startswith("/"):
        raise ValueError("bad request template")
    if method in WITH_BODY and not (content_type and body):
        raise ValueError("content type or template string missing for POST/PUT")
    if method not in WITH_BODY and (content_type or body):
        raise ValueError("content type or template string given for GET/DELETE")
    made = RequestTemplate(id, method, uri, content_type, accept, placeholder, tuple(types.split()), body)
    _check_types(made)
    return made


def _check_types(template: RequestTemplate) -> None:
    if any(type not in TYPES and type != NOW for type in template.types):
        raise ValueError("bad value type")
    if template.types and not template.placeholder:
        raise ValueError("values without placeholder")
    if template.types and len(template.types) != _places(template):
        raise ValueError("bad pattern")


def _places(template: RequestTemplate) -> int:
    mark = template.placeholder
    return template.uri.count(mark) + template.body.count(mark) if mark else 0


def _arguments(template: RequestTemplate, arguments: Sequence[str], now: str) -> Iterator[str]:
    types = template.types or ("STRING",) * _places(template)
    wanted = sum(type != NOW for type in types)
    if arguments and not wanted:
        raise ArgumentError("no arguments supported")
    if len(arguments) != wanted:
        raise ArgumentError("wrong number of arguments")
    given = iter(arguments)
    values = [now if type == NOW else next(given) for type in types]
    for type, value in zip(types, values, strict=True):
        if type != NOW and not TYPES[type](value):
            raise ArgumentError(f"value is not a {type}: {value[:80]}")
    return iter(values)


def _filled(text: str, placeholder: str, values: Iterator[str], escaped: Callable[[str], str]) -> str:
    if not placeholder:
        return text
    first, *rest = text.split(placeholder)
    return first + "".join(escaped(next(values)) + part for part in rest)


def _text(found: tuple[object, ...]) -> str:
    value = found[0] if found else None
    if value is None or isinstance(value, str):
        return value or ""
    return orjson.dumps(value).decode()
