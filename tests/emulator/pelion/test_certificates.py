"""The client certificate of the service: a chain of depth 2, shown to https callbacks."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from emulator.journal import Journal
from emulator.pelion.certificates import Certificates
from tests.emulator.mindsphere.test_gateway import self_signed
from tests.emulator.pelion.conftest import Pelion
from tests.emulator.running import receiver, running_emulator


def test_the_authorities_survive(journal: Journal) -> None:
    first = Certificates(journal)
    assert first.root_pem() == Certificates(journal).root_pem()
    root = x509.load_pem_x509_certificate(first.root_pem().encode())
    intermediate = x509.load_pem_x509_certificate(first.intermediate_pem().encode())
    intermediate.verify_directly_issued_by(root)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca and constraints.path_length == 1


def test_an_https_callback_sees_the_name_and_the_chain(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with running_emulator("--knob", f"EMU_APP_CA_FILE={certificate}") as emulator:
        root = tmp_path / "root.pem"
        root.write_text(emulator.control("/pelion/certificates")["root"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(root)  # the root alone: the intermediate must come with the leaf
        with receiver(tls=context) as app:
            pelion = Pelion.of(emulator, app)
            for chain, status in (("none", 400), ("leaf", 400), ("full", 204)):
                pelion.world.turn(pelion_client_chain=chain)
                assert pelion.callback().status_code == status
            pelion.publish(count=2)
            assert pelion.world.delivered()["acknowledged"] == 2


def test_the_leaf_has_the_platforms_common_name(journal: Journal, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    certificates = Certificates(journal)
    (tmp_path / "root.pem").write_text(certificates.root_pem())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(tmp_path / "root.pem")
    client = certificates.context("notifications.mbedcloud.com", "full", str(certificate))
    shown = _handshake(client, server)
    name = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert name == "notifications.mbedcloud.com"


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> x509.Certificate:
    """In memory; the answer: the certificate the client showed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = far.getpeercert(binary_form=True)
    if found is None:
        pytest.fail("no certificate was shown")
    return x509.load_der_x509_certificate(found)
