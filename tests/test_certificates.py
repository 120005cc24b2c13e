"""When the service's certificate ends, read from real files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from subscriber.certificates import expires_at, finding
from tests.web.certificates import certificate

KEY = generate_private_key(SECP256R1())


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Ends tomorrow."""
    path = tmp_path / "tls.crt"
    path.write_bytes(certificate("me.example", KEY))
    return path


def before_end(path: Path, **left: float) -> datetime:
    return expires_at(str(path)) - timedelta(**left)


def test_a_certificate_with_more_than_a_month_left_is_fine(chain: Path) -> None:
    found = finding(str(chain), before_end(chain, days=31))
    assert found.ok and found.detail.endswith("days left: 31")


@pytest.mark.parametrize(("days", "told"), [(30, "days left: 30"), (1, "days left: 1"), (0, "ended"), (-9, "ended")])
def test_with_less_somebody_has_to_renew_it(chain: Path, days: int, told: str) -> None:
    found = finding(str(chain), before_end(chain, days=days))
    assert not found.ok and told in found.detail and "renew" in found.detail


def test_of_a_chain_whatever_ends_first_counts(chain: Path) -> None:
    first = expires_at(str(chain))
    later = certificate("authority.example", KEY, days=9)
    chain.write_bytes(later + chain.read_bytes())
    assert expires_at(str(chain)) == first
    chain.write_bytes(later)
    assert expires_at(str(chain)) > first + timedelta(days=7)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_certificate_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tls.crt"
    if content is not None:
        path.write_bytes(content)
    found = finding(str(path), datetime.now(UTC))
    assert not found.ok and "TLS_CERT_FILE cannot be read" in found.detail
