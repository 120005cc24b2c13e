"""One broker for all tests of this folder: each uses an exchange of its own, and puts back what it turns off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.rabbitmq import RabbitMQ
from tests.web.certificates import replace_pair


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """For `localhost`, and its key; signed by nobody else."""
    return replace_pair(tmp_path_factory.mktemp("certificate"), "localhost")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[RabbitMQ]:
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), tls=certificate) as broker:
        yield broker
