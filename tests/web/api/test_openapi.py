"""The OpenAPI document: it is valid, it describes what is served, and no question it allows breaks the service."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from subscriber.web import create_app
from subscriber.web.api import parameters
from subscriber.web.api.openapi import document
from tests.signing import bearer
from tests.web.api.world import ACME, ALIAS, OTHER, World

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]
EXAMPLES = 15  # an operation and kind of question; always the same ones, so that a run says what the last one said


def test_it_is_what_its_own_specification_asks_for() -> None:
    schemathesis.openapi.from_dict(document("alarmapi", "https://gateway.example/api/a-b/v1")).validate()
    Draft202012Validator.check_schema(document("alarmapi", "")["components"]["schemas"]["Error"])


def test_every_route_of_the_api_is_described_and_nothing_else(world: World) -> None:
    app: Flask = create_app(world.services)
    served = {
        rule.rule.replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
    }
    assert served == set(document("alarmapi", "")["paths"])


def test_the_served_document_names_scope_and_gateway(world: World) -> None:
    told = world.get("/api/openapi.json").json
    assert "alarmapi.read" in told["components"]["securitySchemes"]["token"]["description"]
    assert [one["url"] for one in told["servers"]] == [
        "/",
        "https://gateway.eu1.mindsphere.io/api/alarmapi-acmeop/v1",
    ]


def test_each_parameter_is_described_by_the_line_that_reads_it() -> None:
    described = document("alarmapi", "")["paths"]["/api/notifications"]["get"]["parameters"]
    assert [one["name"] for one in described] == [one.name for one in parameters.LISTED]
    assert all(one["description"] for one in described)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", sorted(document("alarmapi", "")["paths"]))
def test_no_question_breaks_it_and_every_answer_is_described(world: World, path: str, mode: GenerationMode) -> None:
    for number in range(12):
        world.arrive(f"n{number}", (OTHER, ALIAS)[number % 2] if number % 3 else ACME)
    app = create_app(world.services)
    headers = {"Authorization": bearer(world.token())}
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app, headers=headers)
    operation = schema[path]["GET"]

    seen = set()

    @settings(max_examples=EXAMPLES, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        seen.add(case.call_and_validate(headers=headers, checks=CHECKS).status_code)

    ask()
    assert 200 in seen or mode is GenerationMode.NEGATIVE or "{" in path
