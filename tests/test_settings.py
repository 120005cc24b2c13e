"""Settings: every problem at once, nothing secret shown, everything resolved."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from subscriber.errors import SettingsError
from subscriber.settings import MASK, Settings

CREDENTIALS = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmeop-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s3cr3t-canary",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return caught.value.problems


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


@pytest.mark.parametrize("name", ["DATABASE_URL", "AMQP_URL", "FORWARD_URL"])
def test_a_bad_secret_is_not_quoted(name: str) -> None:
    (problem,) = problems(**{name: "ftp://u:canary@h/d"})
    assert name in problem and "canary" not in problem


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


POSTGRES = {
    "name": "alarms-db",
    "tags": ["postgresql"],
    "credentials": {"uri": "postgres://u:canary@db.example:5432/i"},
}
RABBIT = {"name": "alarms-mq", "tags": ["rabbitmq"], "credentials": {"uri": "amqps://u:canary@mq.example/v"}}


def bound(**services: object) -> dict[str, str]:
    return {"VCAP_APPLICATION": "{}", "VCAP_SERVICES": json.dumps({label: [one] for label, one in services.items()})}


def test_without_a_word_the_bound_services_are_used() -> None:
    settings = Settings.from_environ(bound(whatever=POSTGRES, else_=RABBIT))
    assert settings.database_url == "postgres://u:canary@db.example:5432/i"
    assert settings.amqp_url == "amqps://u:canary@mq.example/v"
    assert settings.sqlite_path == ""


def test_the_origin_of_an_address_is_the_bound_service_and_its_password_is_masked() -> None:
    settings = Settings.from_environ(bound(whatever=POSTGRES, else_=RABBIT))
    shown = {name: (value, origin) for name, value, origin, _ in settings.table()}
    assert shown["DATABASE_URL"] == (f"postgres://u:{MASK}@db.example:5432/i", "bound service alarms-db")
    assert shown["AMQP_URL"] == (f"amqps://u:{MASK}@mq.example/v", "bound service alarms-mq")
    assert "canary" not in repr(settings) + str(settings.table())


def test_what_the_environment_says_comes_before_what_is_bound() -> None:
    said = {"DATABASE_URL": "postgresql://me@here/mine", "AMQP_URL": "amqp://there"}
    settings = Settings.from_environ(bound(whatever=POSTGRES, else_=RABBIT) | said)
    assert (settings.database_url, settings.amqp_url) == ("postgresql://me@here/mine", "amqp://there")
    assert settings.origins["DATABASE_URL"] == "environment"


def test_several_bound_databases_are_refused_by_name_unless_one_is_chosen() -> None:
    environ = bound(a=POSTGRES, b=POSTGRES | {"name": "other-db"})
    (problem,) = problems(**environ)
    assert "alarms-db, other-db" in problem and "DATABASE_URL" in problem and "canary" not in problem
    assert Settings.from_environ(environ | {"DATABASE_URL": "postgres://h/d"}).database_url == "postgres://h/d"


def test_bindings_that_cannot_be_read_are_a_problem_beside_others() -> None:
    found = problems(VCAP_SERVICES="[canary", PORT="0", DATABASE_URL="postgres://h/d")
    assert [problem.split()[0] for problem in found] == ["PORT:", "VCAP_SERVICES"]
    assert "canary" not in str(found)


def test_certificates_of_a_binding_become_a_file_and_the_server_has_to_prove_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    credentials = POSTGRES["credentials"] | {"cacrt": CERTIFICATE}  # type: ignore[operator]
    settings = Settings.from_environ(bound(whatever=POSTGRES | {"credentials": credentials}))
    (file,) = tmp_path.iterdir()
    assert file.read_text() == CERTIFICATE
    query = parse_qs(urlsplit(settings.database_url).query)
    assert query == {"sslmode": ["verify-full"], "sslrootcert": [str(file)]}
    (value,) = [value for name, value, _, _ in settings.table() if name == "DATABASE_URL"]
    assert "sslmode=verify-full" in value and MASK in value


def test_certificates_that_cannot_be_kept_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    credentials = POSTGRES["credentials"] | {"cacrt": CERTIFICATE}  # type: ignore[operator]
    found = problems(**bound(whatever=POSTGRES | {"credentials": credentials}))
    assert len(found) == 1 and "certificates cannot be written" in found[0]


def test_the_exchange_has_a_name_that_a_broker_takes() -> None:
    assert Settings.from_environ({}).amqp_exchange == "notifications"
    for name in ("amq.topic", "x" * 256):
        assert "AMQP_EXCHANGE" in problems(AMQP_EXCHANGE=name)[0]


OTHER_ISSUER = {
    "AUTH_ISSUER": "https://id.example/oauth",
    "AUTH_KEYS_URL": "https://id.example/keys",
    "AUTH_HOST_TENANT": "acmeop",
}


@pytest.mark.parametrize("missing", OTHER_ISSUER)
def test_another_issuer_is_named_completely_or_not_at_all(missing: str) -> None:
    given = {name: value for name, value in OTHER_ISSUER.items() if name != missing}
    assert problems(**given) == ["AUTH_ISSUER, AUTH_KEYS_URL and AUTH_HOST_TENANT go together: set all or none"]
    assert Settings.from_environ(OTHER_ISSUER).auth_host_tenant == "acmeop"


def test_scopes_begin_with_the_application_s_name_on_its_platform() -> None:
    cumulocity = {"C8Y_BASEURL": "http://c", "C8Y_TENANT": "t", "C8Y_USER": "u", "C8Y_PASSWORD": "p"}
    assert Settings.from_environ(CREDENTIALS).app_name == "alarmapi"
    assert Settings.from_environ({**cumulocity, "APPLICATION_NAME": "listener"}).app_name == "listener"
    assert Settings.from_environ({}).app_name == "subscriber"


def test_aliases_are_read_and_shown_in_short() -> None:
    settings = Settings.from_environ({"TENANT_ALIASES": '{"cumulocity/t1234":"custaa"}'})
    shown = {name: value for name, value, _, _ in settings.table()}
    assert shown["TENANT_ALIASES"] == "cumulocity/t1234=custaa"
    assert "TENANT_ALIASES" in problems(TENANT_ALIASES='{"t1234":"custaa"}')[0]


def test_processes_share_a_secret() -> None:
    assert Settings.from_environ(CREDENTIALS).shared_secret == "s3cr3t-canary"
    url = "postgresql://u:p@h/d"
    assert Settings.from_environ({"DATABASE_URL": url}).shared_secret == url
