"""The MindSphere side: resolved from little, refused with the reason."""

from __future__ import annotations

import pytest

from subscriber.errors import SettingsError
from subscriber.settings import MindSphereSettings, Settings

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


def test_a_template_that_names_our_own_address_needs_one() -> None:
    environ = CREDENTIALS | {"MDSP_URI_TEMPLATE": "{public}/{endpoint}"}
    assert problems(**environ) == ["MDSP_URI_TEMPLATE uses {public}: set PUBLIC_URL, to an address or to ngrok"]
    assert Settings.from_environ(environ | {"PUBLIC_URL": "ngrok"}).mindsphere
