"""When a certificate file ends: asked by `check`, so that a renewal which failed is noticed in time.

Reads the file that the service itself shows to callers; whether anybody trusts it is for callers to say. And the
file of authorities whose clients the service believes, so that they can be compared with published fingerprints.
X.509: RFC 5280, section 4.1.2.5 (validity).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from subscriber.store import Finding

WARN = timedelta(days=30)  # the usual authorities renew that early, and a person needs as long
MAX_FILE_BYTES = 1_048_576  # a chain has some certificates of a few kilobytes each


def expires_at(path: str) -> datetime:
    """The end of the chain: of whichever certificate in the PEM file ends first.

    Raises ``OSError`` if it cannot be read, ``ValueError`` if it holds no certificate.
    """
    with Path(path).open("rb") as file:
        chain = x509.load_pem_x509_certificates(file.read(MAX_FILE_BYTES))
    return min(certificate.not_valid_after_utc for certificate in chain)


def fingerprints(path: str) -> dict[str, datetime]:
    """The end of each certificate in a PEM file, by its SHA-1 fingerprint: hexadecimal pairs with colons.

    SHA-1 because that is what is published; it names a certificate here and proves nothing. Raises as above.
    """
    with Path(path).open("rb") as file:
        found = x509.load_pem_x509_certificates(file.read(MAX_FILE_BYTES))
    return {one.fingerprint(SHA1()).hex(":").upper(): one.not_valid_after_utc for one in found}


def finding(path: str, now: datetime) -> Finding:
    """For `check`; ``ok`` False when it cannot be read, has ended, or ends within ``WARN``."""
    try:
        end = expires_at(path)
    except (OSError, ValueError) as error:
        return Finding(name="certificate", ok=False, detail=f"TLS_CERT_FILE cannot be read: {type(error).__name__}")
    left = end - now
    told = (
        f"ended at {end:%Y-%m-%d %H:%M} UTC"
        if left <= timedelta(0)
        else f"ends {end:%Y-%m-%d}, days left: {left.days}"
    )
    advice = "" if left > WARN else ": renew it, the service takes up a new file by itself"
    return Finding(name="certificate", ok=left > WARN, detail=told + advice)
