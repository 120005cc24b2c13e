"""What every test shares: a clean environment and one hypothesis profile."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Machines that run tests are slow and busy at times: how long an example takes says nothing about the code.
settings.register_profile("product", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("product")

OURS = ("MDSP_", "DATABASE_", "TLS_", "FORWARD_", "RETRY_", "METRICS_", "WORKER_", "VCAP_", "ALLOW_")
OURS += ("PUBLIC_", "NGROK_", "AMQP_", "C8Y_", "PELION_", "CF_INSTANCE_")


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith(OURS) or name in (
            "HOST",
            "PORT",
            "HANDLERS",
            "MAX_BODY_BYTES",
            "MAX_ATTEMPTS",
            "APPLICATION_NAME",
        ):
            monkeypatch.delenv(name)
