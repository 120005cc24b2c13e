"""A certificate that is renewed while it serves."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import pytest

from subscriber.web.server.tls import Certificate
from tests.web.certificates import issue, pair, replace_pair


def opened(folder: Path) -> Certificate:
    cert, key = replace_pair(folder, "first.example")
    return Certificate(str(cert), str(key))


def test_untouched_files_are_not_read_again(tmp_path: Path) -> None:
    certificate = opened(tmp_path)
    before = certificate.context
    assert not certificate.refresh()
    assert certificate.context is before


def test_replaced_files_are_taken_up(tmp_path: Path) -> None:
    certificate = opened(tmp_path)
    before = certificate.context
    replace_pair(tmp_path, "second.example")
    assert certificate.refresh()
    assert certificate.context is not before
    assert not certificate.refresh()


def test_a_swapped_link_is_taken_up(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        replace_pair(tmp_path / name, f"{name}.example")
    link = tmp_path / "live"
    link.symlink_to("first")
    certificate = Certificate(str(link / "tls.crt"), str(link / "tls.key"))
    (tmp_path / "next").symlink_to("second")
    os.replace(tmp_path / "next", link)
    assert certificate.refresh()


@pytest.mark.parametrize("content", [b"", b"half a file", pair("other.example")[0]])
def test_a_renewal_that_does_not_fit_keeps_the_old_one(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = opened(tmp_path)
    before = certificate.context
    (tmp_path / "tls.crt").write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert not certificate.refresh()
        assert not certificate.refresh()
    assert certificate.context is before
    assert len(caplog.records) == 1  # told once, not every second


def test_a_file_that_is_gone_for_a_moment_keeps_the_old_one(tmp_path: Path) -> None:
    certificate = opened(tmp_path)
    (tmp_path / "tls.key").unlink()
    assert not certificate.refresh()
    replace_pair(tmp_path, "second.example")
    assert certificate.refresh()


def test_a_pair_replaced_one_file_after_the_other_is_taken_up_in_the_end(tmp_path: Path) -> None:
    certificate = opened(tmp_path)
    cert, key = pair("second.example")
    (tmp_path / "tls.crt").write_bytes(cert)
    assert not certificate.refresh()
    (tmp_path / "tls.key").write_bytes(key)
    assert certificate.refresh()


def test_unusable_files_are_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Certificate(str(tmp_path / "none.crt"), str(tmp_path / "none.key"))


def test_old_protocol_versions_are_not_spoken(tmp_path: Path) -> None:
    assert opened(tmp_path).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_clients_are_asked_for_a_certificate_where_authorities_are_named(tmp_path: Path) -> None:
    assert opened(tmp_path).context.verify_mode is ssl.CERT_NONE
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(issue("Root", authority=True).pem)
    certificate = Certificate(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), str(authorities))
    assert certificate.context.verify_mode is ssl.CERT_OPTIONAL
    assert [dict(one[0] for one in ca["subject"]) for ca in certificate.context.get_ca_certs()] == [
        {"commonName": "Root"}
    ]


def test_other_authorities_are_taken_up(tmp_path: Path) -> None:
    cert, key = replace_pair(tmp_path, "here.example")
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(issue("Root", authority=True).pem)
    certificate = Certificate(str(cert), str(key), str(authorities))
    authorities.write_bytes(issue("Root", authority=True).pem + issue("Another", authority=True).pem)
    assert certificate.refresh()
    assert len(certificate.context.get_ca_certs()) == 2


def test_authorities_that_cannot_be_read_are_refused_at_the_start(tmp_path: Path) -> None:
    cert, key = replace_pair(tmp_path, "here.example")
    with pytest.raises(OSError):
        Certificate(str(cert), str(key), str(tmp_path / "none.pem"))
