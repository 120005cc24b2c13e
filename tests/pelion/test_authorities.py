"""The authorities behind the service's client certificate, compared with what the vendor publishes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

import certifi
import pytest

from subscriber.certificates import fingerprints
from subscriber.pelion.authorities import ROOT, finding
from tests.pelion.conftest import World

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The real root, as the authorities that browsers trust have it, and another one."""
    found = re.findall(r"-----BEGIN.+?-----END CERTIFICATE-----", Path(certifi.where()).read_text(), re.DOTALL)
    digests = [sha1(PEM_cert_to_DER_cert(text)).hexdigest().upper() for text in found]
    root = found[digests.index(ROOT.replace(":", ""))]
    path = tmp_path / "authorities.pem"
    path.write_text("\n".join((root, found[digests.index(ROOT.replace(":", "")) - 1])))
    return path


def test_the_published_root_is_found_by_its_fingerprint(published: Path) -> None:
    found = finding(str(published), NOW, emulated=False)
    assert found.ok and "GlobalSign Root CA - R3" in found.detail and "2029-03-18" in found.detail
    assert "1 other authorities are believed as well" in found.detail


def test_a_root_that_has_ended_needs_somebody(published: Path) -> None:
    end = fingerprints(str(published))[ROOT]
    assert not finding(str(published), end, emulated=False).ok


def test_an_emulator_s_own_root_will_do_for_an_emulator_only(world: World, tmp_path: Path) -> None:
    path = tmp_path / "authorities.pem"
    found = world.emulator.control("/pelion/certificates")
    path.write_text(found["root"] + found["intermediate"])
    assert finding(str(path), NOW, emulated=True).ok
    refused = finding(str(path), NOW, emulated=False)
    assert not refused.ok and ROOT in refused.detail


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content)
    found = finding(str(path), NOW, emulated=True)
    assert not found.ok and "cannot be read" in found.detail
