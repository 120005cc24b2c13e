"""Self-signed certificates for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def pair(name: str) -> tuple[bytes, bytes]:
    """A fresh certificate for ``name`` and its key, both PEM."""
    key = generate_private_key(SECP256R1())
    return certificate(name, key), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(name: str, key: EllipticCurvePrivateKey, days: int = 1) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


def replace_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a fresh pair to tls.crt and tls.key, each in one step as renewal tools do."""
    paths = folder / "tls.crt", folder / "tls.key"
    for path, content in zip(paths, pair(name), strict=True):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)
    return paths
