"""Settings: every problem at once, nothing secret shown, everything resolved."""

from __future__ import annotations

import dataclasses

import pytest

from subscriber.errors import SettingsError
from subscriber.settings import MASK, MindSphereSettings, Settings

CREDENTIALS = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s3cr3t-canary",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return caught.value.problems


def mindsphere(**changes: str) -> MindSphereSettings:
    found = Settings.from_environ(CREDENTIALS | changes).mindsphere
    assert found is not None
    return found


def test_without_any_variable_the_defaults_work_and_mindsphere_is_off() -> None:
    settings = Settings.from_environ({})
    assert (settings.host, settings.port, settings.horizon_days) == ("127.0.0.1", 8080, 7)
    assert settings.mindsphere is None


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        PORT="http", WORKER_THREADS="0", TLS_CERT_FILE="a.pem", FORWARD_URL="ftp://x", MAX_BODY_BYTES="-1"
    )
    assert [problem.split(":")[0].split(" ")[0] for problem in found] == [
        "PORT",
        "MAX_BODY_BYTES",
        "FORWARD_URL",
        "WORKER_THREADS",
        "TLS_CERT_FILE",
    ]


def test_a_problem_says_what_is_wanted() -> None:
    assert problems(PORT="http") == ['PORT: "http" is not usable: must be a whole number']


def test_an_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environ({"PORT": " "}).port == 8080


def test_the_hosting_tenant_comes_from_the_client_id() -> None:
    got = mindsphere()
    assert got.host_tenant == "acmeop"
    assert got.issuer_zones == ("core", "acmeop") == got.trusted_tenants
    assert got.required_scopes == ("alarmapi.notify",)


def test_a_host_tenant_that_contradicts_the_credentials_is_refused_with_the_handover_explained() -> None:
    (problem,) = problems(**CREDENTIALS, MDSP_HOST_TENANT="acmedv")
    assert "acmedv" in problem and "acmeop" in problem and "handover" in problem


def test_a_client_id_of_another_layout_needs_the_host_tenant_said() -> None:
    environ = CREDENTIALS | {"MDSP_KEY_STORE_CLIENT_ID": "custom"}
    assert "MDSP_HOST_TENANT" in problems(**environ)[0]
    assert mindsphere(MDSP_KEY_STORE_CLIENT_ID="custom", MDSP_HOST_TENANT="acmeop").host_tenant == "acmeop"


def test_addresses_follow_region_and_domain() -> None:
    got = mindsphere(MDSP_REGION="cn1", MDSP_DOMAIN="example.cn")
    assert got.gateway_url == "https://gateway.cn1.example.cn"
    assert got.issuer("core") == "https://core.piam.cn1.example.cn/oauth/token"
    assert got.keys_url("acmeop") == "https://acmeop.piam.cn1.example.cn/token_keys"
    assert got.major == "v1"


@pytest.mark.parametrize(
    "topic", ["alarms", "mdsp.core.x.1.pubsub.a", "MDSP.core.x.v1.pubsub.a", "mdsp." + "a" * 300]
)
def test_a_topic_outside_the_naming_convention_is_refused(topic: str) -> None:
    assert "naming convention" in problems(**CREDENTIALS, MDSP_TOPICS=topic)[0]


def test_a_version_without_its_v_is_warned_about() -> None:
    environ = CREDENTIALS | {"MDSP_OS_VM_APP_VERSION": "1.4.2", "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-1.4.2"}
    (warning,) = Settings.from_environ(environ).warnings
    assert "leading v" in warning


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"MDSP_KEY_STORE_CLIENT_SECRET": ""}, "MDSP_KEY_STORE_CLIENT_SECRET"),
        ({"MDSP_OS_VM_APP_NAME": ""}, "MDSP_OS_VM_APP_NAME"),
        ({"MDSP_PIAM_URL": "https://fixed.example"}, "{tenant}"),
        ({"MDSP_URI_TEMPLATE": "{gateway}/x"}, "{endpoint}"),
        ({"MDSP_URI_TEMPLATE": "{gate}/{endpoint}"}, "{gate}"),
        ({"MDSP_BROKER_PATH": "broker"}, "MDSP_BROKER_PATH"),
        ({"MDSP_REQUIRED_SCOPES": " , "}, "MDSP_REQUIRED_SCOPES"),
        ({"MDSP_PROVISIONING_ACTION": "action"}, "MDSP_PROVISIONING_ACTION"),
        ({"MDSP_TENANT_POLL_SECONDS": "1"}, "MDSP_TENANT_POLL_SECONDS"),
    ],
)
def test_an_unusable_platform_setting_is_named(change: dict[str, str], needle: str) -> None:
    assert any(needle in problem for problem in problems(**(CREDENTIALS | change)))


def test_settings_that_would_forget_a_key_too_early_are_refused() -> None:
    assert "twice" in problems(DEAD_RETENTION_DAYS="6")[0]
    assert "HORIZON_MARGIN_DAYS" in problems(HORIZON_MARGIN_DAYS="0")[0]


def test_on_cloud_foundry_sqlite_is_refused_unless_asked_for() -> None:
    assert "ALLOW_EPHEMERAL_SQLITE" in problems(VCAP_APPLICATION="{}")[0]
    settings = Settings.from_environ({"VCAP_APPLICATION": "{}", "ALLOW_EPHEMERAL_SQLITE": "1"})
    assert settings.host == "0.0.0.0"


def test_secrets_never_show() -> None:
    settings = Settings.from_environ(CREDENTIALS | {"METRICS_TOKEN": "canary-2", "DATABASE_URL": "sqlite:///c-3.db"})
    shown = repr(settings) + str(settings.table())
    assert "s3cr3t-canary" not in shown and "canary-2" not in shown
    assert ("METRICS_TOKEN", MASK, "environment") in [row[:3] for row in settings.table()]


def test_a_bad_secret_is_not_quoted() -> None:
    (problem,) = problems(DATABASE_URL="postgres://u:canary@h/d")
    assert "canary" not in problem


def test_every_value_is_listed_with_its_origin() -> None:
    rows = {name: origin for name, _, origin, _ in Settings.from_environ(CREDENTIALS | {"PORT": "81"}).table()}
    assert rows["PORT"] == "environment"
    assert rows["MAX_BODY_BYTES"] == "default"
    assert rows["MDSP_HOST_TENANT"] == "derived from MDSP_KEY_STORE_CLIENT_ID"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_environ({}).port = 1  # type: ignore[misc]


def test_the_service_s_own_address_is_one_or_is_asked_of_the_agent() -> None:
    assert Settings.from_environ({}).public_url == ""
    assert Settings.from_environ({"PUBLIC_URL": "https://me.example/"}).public_url == "https://me.example"
    asking = Settings.from_environ({"PUBLIC_URL": "ngrok"})
    assert (asking.public_url, asking.ngrok_api_url) == ("ngrok", "http://127.0.0.1:4040/api")
    assert "PUBLIC_URL" in problems(PUBLIC_URL="grok")[0]


def test_a_template_that_names_our_own_address_needs_one() -> None:
    environ = CREDENTIALS | {"MDSP_URI_TEMPLATE": "{public}/{endpoint}"}
    assert problems(**environ) == ["MDSP_URI_TEMPLATE uses {public}: set PUBLIC_URL, to an address or to ngrok"]
    assert Settings.from_environ(environ | {"PUBLIC_URL": "ngrok"}).mindsphere
