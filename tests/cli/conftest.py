"""Runs commands as a shell would, on a real database in an empty working folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

import migrations
from subscriber.cli import main
from subscriber.model import DeadLetter, Identity, Notification, Tenant
from subscriber.store import Store, open_store

RECEIVED = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
TOPIC = "mdsp.core.assetmanagement.v1.pubsub.asset.ext.notification"
CUSTAA = Tenant("mindsphere", "custaa")

CREDENTIALS = {
    "MDSP_KEY_STORE_CLIENT_ID": "acmedv-alarmapi-v1.4.2",
    "MDSP_KEY_STORE_CLIENT_SECRET": "s3cr3t",
    "MDSP_OS_VM_APP_NAME": "alarmapi",
    "MDSP_OS_VM_APP_VERSION": "v1.4.2",
}


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What `--json` printed; fails if there is anything else."""
        return [orjson.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the commands; a test adds to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return {"DATABASE_URL": f"sqlite:///{tmp_path}/subscriber.db"}


@pytest.fixture
def run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments, environ)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def store(environ: dict[str, str]) -> Iterator[Store]:
    migrations.apply(environ["DATABASE_URL"])
    store = open_store(environ["DATABASE_URL"])
    yield store
    store.close()


def notification(number: int = 1, *, tenant: Tenant = CUSTAA, body: bytes | None = None) -> Notification:
    return Notification(
        tenant=tenant,
        key=bytes(6) + blake2b(b"%d" % number, digest_size=16).digest(),
        identity=Identity.TIMED,
        topic=TOPIC,
        source=f"asset{number}",
        action="UPDATE",
        occurred_at=RECEIVED,
        received_at=RECEIVED,
        body=b'{"number":%d}' % number if body is None else body,
    )


def letter(body: bytes | None, *, tenant: Tenant = CUSTAA, detail: str = "not JSON") -> DeadLetter:
    return DeadLetter(
        tenant=tenant,
        reason="json",
        detail=detail,
        digest=blake2b(body or b"none", digest_size=16).digest(),
        body=body,
        buried_at=RECEIVED,
    )
