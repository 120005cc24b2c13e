"""The certificate the service shows to https callbacks: root, intermediate, leaf, as the platform's own chain.

Made when first needed and kept in the state file, so a subscriber's trust outlives a restart. Real dates: verifiers
live in real time. The names are the emulator's own, only the leaf's common name is the platform's.
"""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emulator.journal import Journal

KEY_BITS = 2048
LIFETIME = datetime.timedelta(days=3650)  # longer than any state file is used
BACKDATED = datetime.timedelta(hours=1)  # for verifiers whose clock is late
MEMORY = "pelion_certificates"  # name in the state file


@dataclass(frozen=True, slots=True)
class Signer:
    certificate: x509.Certificate
    key: RSAPrivateKey

    def as_json(self) -> list[str]:
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return [_pem(self.certificate), key.decode()]


class Certificates:
    """The chain, and client contexts that show it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._authorities: tuple[Signer, Signer] | None = None
        self._leaves: dict[str, Signer] = {}
        self._contexts: dict[tuple[str, str, str], ssl.SSLContext] = {}

    def root_pem(self) -> str:
        """What a receiver must trust."""
        return _pem(self._chain()[0].certificate)

    def intermediate_pem(self) -> str:
        return _pem(self._chain()[1].certificate)

    def context(self, common_name: str, shown: str, trusted: str) -> ssl.SSLContext:
        """For connections to callbacks. ``shown``: full, leaf or none; ``trusted``: a PEM file, or the system's."""
        wanted = (common_name, shown, trusted)
        if wanted not in self._contexts:
            context = ssl.create_default_context(cafile=trusted or None)
            if shown != "none":
                self._load(context, self._leaf(common_name), with_intermediate=shown == "full")
            self._contexts[wanted] = context
        return self._contexts[wanted]

    def _load(self, context: ssl.SSLContext, leaf: Signer, *, with_intermediate: bool) -> None:
        certificate, key = leaf.as_json()
        chain = certificate + (self.intermediate_pem() if with_intermediate else "")
        handle, name = tempfile.mkstemp()  # mode 0600; ssl reads keys from files only
        try:
            with os.fdopen(handle, "w") as file:
                file.write(key + chain)
            context.load_cert_chain(name)
        finally:
            Path(name).unlink()

    def _chain(self) -> tuple[Signer, Signer]:
        if self._authorities is None:
            kept = self._journal.recall(MEMORY)
            self._authorities = _read(kept) if isinstance(kept, list) else self._make()
        return self._authorities

    def _make(self) -> tuple[Signer, Signer]:
        root = _issue("Emulated Root CA", None, depth=1)
        intermediate = _issue("Emulated Organization Validation CA", root, depth=0)
        self._journal.remember(MEMORY, [root.as_json(), intermediate.as_json()])
        return root, intermediate

    def _leaf(self, common_name: str) -> Signer:
        if common_name not in self._leaves:
            self._leaves[common_name] = _issue(common_name, self._chain()[1], depth=None)
        return self._leaves[common_name]


def _read(kept: list[list[str]]) -> tuple[Signer, Signer]:
    root, intermediate = (_signer(certificate, key) for certificate, key in kept)
    return root, intermediate


def _signer(certificate: str, key: str) -> Signer:
    private = load_pem_private_key(key.encode(), password=None)
    assert isinstance(private, RSAPrivateKey)
    return Signer(x509.load_pem_x509_certificate(certificate.encode()), private)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _issue(common_name: str, issuer: Signer | None, *, depth: int | None) -> Signer:
    """A certificate; ``depth`` authorities may follow an authority, None makes it a client's."""
    key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    signing = issuer.key if issuer else key
    authority = depth is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=depth), critical=True)
        .add_extension(_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return Signer(builder.sign(signing, SHA256()), key)


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
