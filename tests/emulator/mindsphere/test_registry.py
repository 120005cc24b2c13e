"""What the cockpits keep: it survives, and it is checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emulator.journal import Journal
from emulator.knobs import Panel
from emulator.mindsphere.registry import (
    DEVELOPER,
    OPERATOR,
    USER,
    Application,
    Registry,
    RegistryError,
    ServiceAccount,
    new_application,
)


@pytest.fixture
def registry(journal: Journal, panel: Panel) -> Registry:
    return Registry(journal, panel)


def test_the_seed_world_has_operator_developer_and_two_customers(registry: Registry) -> None:
    application = registry.default_application()
    assert application.client_id == "acmeop-alarmapi-v1.4.2"
    assert application.broker_scopes == ("alarmapi.notify",)
    assert registry.user_tenants(application) == ["custaa", "custbb"]
    kinds = {name: registry.kind(name) for name in ("acmeop", "acmedv", "custaa", "nobody")}
    assert kinds == {"acmeop": OPERATOR, "acmedv": DEVELOPER, "custaa": USER, "nobody": None}


def test_the_world_survives_a_restart(registry: Registry, journal: Journal, panel: Panel) -> None:
    """C18"""
    registry.provision(registry.default_application(), ["custcc"])
    registry.register(new_application("alarmapi", "v2.0.0", "acmeop"))
    again = Registry(journal, panel)
    assert again.applications() == registry.applications()
    assert again.user_tenants(again.default_application()) == ["custaa", "custbb", "custcc"]
    assert again.service_account("acmeop") == registry.service_account("acmeop")


def test_credentials_authenticate_their_holder_only(registry: Registry) -> None:
    application, account = registry.default_application(), registry.service_account("acmeop")
    assert isinstance(account, ServiceAccount)
    assert registry.authenticate(application.client_id, application.secret) == application
    assert registry.authenticate(account.client_id, account.secret) == account
    for client_id, secret in [
        (application.client_id, "wrong"),
        (application.client_id, account.secret),
        ("stranger", "no such client"),
        (application.client_id, "\udcff"),
    ]:
        assert registry.authenticate(client_id, secret) is None


def test_secrets_are_not_printed(registry: Registry) -> None:
    application, account = registry.default_application(), registry.service_account("acmeop")
    assert application.secret not in repr(application)
    assert account is not None and account.secret not in repr(account)


def test_provisioning_tells_for_whom_it_was_news(registry: Registry) -> None:
    """C15"""
    application = registry.default_application()
    assert registry.provision(application, ["custaa", "custcc", "custcc"]) == ["custcc"]
    assert registry.may_act_for(application, "custcc")
    assert registry.deprovision(application, ["custcc", "nobody"]) == ["custcc"]
    assert not registry.may_act_for(application, "custcc")
    assert registry.may_act_for(application, "acmeop")


@pytest.mark.parametrize("name", ["", "Custaa", "1abc", "waytoolongname", "a b", "acmedv", "core", "../x"])
def test_what_is_no_user_tenant_is_not_provisioned(registry: Registry, name: str) -> None:
    application = registry.default_application()
    with pytest.raises(RegistryError):
        registry.provision(application, ["custcc", name])
    assert not registry.may_act_for(application, "custcc")


@pytest.mark.parametrize(
    ("form", "found"),
    [("both", {"v1", "v1.4.2"}), ("major", {"v1"}), ("full", {"v1.4.2"})],
)
def test_gateway_paths_name_the_version_in_one_form_or_both(
    registry: Registry, panel: Panel, form: str, found: set[str]
) -> None:
    panel.turn({"EMU_GW_VERSION_FORM": form})
    forms = ("v1", "v1.4.2", "v1.4", "1", "v2")
    assert {text for text in forms if registry.hosted("alarmapi", "acmeop", text)} == found


def test_of_one_major_version_the_latest_registration_is_served(registry: Registry) -> None:
    """C7"""
    registry.register(new_application("alarmapi", "v1.5.0", "acmeop"))
    served = registry.hosted("alarmapi", "acmeop", "v1")
    assert served is not None and served.version == "v1.5.0"
    assert registry.hosted("alarmapi", "acmeop", "v1.4.2") is not None


@pytest.mark.parametrize(("name", "version"), [("Alarm", "v1.0.0"), ("alarm-api", "v1.0.0"), ("alarmapi", "1.0.0")])
def test_registrations_need_a_name_and_a_version_with_its_v(name: str, version: str) -> None:
    with pytest.raises(RegistryError):
        new_application(name, version, "acmeop")


def test_endpoints_are_patterns() -> None:
    application: Application = replace(new_application("a", "v1.0.0", "acmeop"), endpoints=("/hooks/*", "/health"))
    assert application.serves("/hooks/x") and application.serves("/health")
    assert not application.serves("/other")


def test_a_reset_keeps_credentials_and_forgets_the_rest(registry: Registry) -> None:
    application = registry.default_application()
    registry.provision(application, ["custcc"])
    registry.register(replace(application, broker_scopes=()))
    registry.register(new_application("alarmapi", "v2.0.0", "acmeop"))
    registry.reset()
    assert len(registry.applications()) == 2
    assert registry.default_application() == application
    assert registry.user_tenants(application) == ["custaa", "custbb"]
    assert registry.kind("custcc") is None
