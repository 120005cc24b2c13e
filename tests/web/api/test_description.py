"""What the API says of itself follows the settings."""

from __future__ import annotations

from subscriber.settings import Settings
from subscriber.web.api.description import documents
from tests.signing import KeyServer
from tests.web.api.world import environment

CUMULOCITY = {"C8Y_BASEURL": "http://c", "C8Y_TENANT": "t", "C8Y_USER": "u", "C8Y_PASSWORD": "p"}
OTHER_ISSUER = {"AUTH_ISSUER": "https://i.example", "AUTH_KEYS_URL": "https://k.example", "AUTH_HOST_TENANT": "h"}


def test_it_speaks_of_the_platforms_that_are_on() -> None:
    settings = Settings.from_environ({**CUMULOCITY, **OTHER_ISSUER, "APPLICATION_NAME": "listener"})
    openapi, asyncapi = documents(settings)
    assert [server["url"] for server in openapi["servers"]] == ["/"]
    assert "listener.read" in openapi["components"]["securitySchemes"]["token"]["description"]
    assert {name.partition("-")[0] for name in asyncapi["channels"]} == {"cumulocity"}


def test_behind_the_platform_s_gateway_it_names_that_address() -> None:
    with KeyServer() as keys:
        environ = environment(keys, "sqlite:///x.db") | {"MDSP_GATEWAY_URL": "http://g/gw"}
    openapi, asyncapi = documents(Settings.from_environ(environ))
    assert openapi["servers"][1]["url"] == "http://g/gw/api/alarmapi-acmeop/v1"
    assert {name.partition("-")[0] for name in asyncapi["channels"]} == {"mindsphere"}


def test_where_no_platform_names_the_application_its_scopes_begin_with_subscriber() -> None:
    openapi, asyncapi = documents(Settings.from_environ(OTHER_ISSUER))
    assert "subscriber.read" in openapi["components"]["securitySchemes"]["token"]["description"]
    assert asyncapi["channels"] == {}
