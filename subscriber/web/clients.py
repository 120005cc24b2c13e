"""Who is at the other end of TLS: the common names in the subject of a verified client certificate.

Whoever ends TLS has verified the certificate: our own server, which offers ``environ[CLIENT_NAMES]`` then, or a proxy
that puts the subject into a header and never lets a client's own header of that name through. Nothing here verifies.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import cast
from wsgiref.types import WSGIEnvironment

from cryptography import x509
from cryptography.x509.oid import NameOID

CLIENT_NAMES = "subscriber.client_names"  # in our server's environ: a function without arguments
Subject = tuple[tuple[tuple[str, str], ...], ...]  # as ``ssl`` gives it
SUBJECT_CHARS = 2000  # a subject has a few hundred
# Attributes that proxies write by names which RFC 4514 does not know (OpenSSL's short names).
OTHER_ATTRIBUTES = {
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "jurisdictionC": NameOID.JURISDICTION_COUNTRY_NAME,
    "jurisdictionST": NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME,
    "jurisdictionL": NameOID.JURISDICTION_LOCALITY_NAME,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "postalCode": NameOID.POSTAL_CODE,
    "street": NameOID.STREET_ADDRESS,
}


def client_names(environ: WSGIEnvironment, headers: Mapping[str, str], subject_header: str) -> list[str]:
    """All there are of the one who sent this request.

    ``headers`` has lower-case names; ``subject_header`` is empty where no proxy tells.
    """
    if subject_header:
        return names_in_subject(headers.get(subject_header.lower(), ""))
    ask: Callable[[], list[str]] | None = environ.get(CLIENT_NAMES)
    return ask() if ask else []


def names_of_peer(sock: ssl.SSLSocket) -> list[str]:
    """From a connection whose handshake is done; none if the client showed no certificate."""
    certificate = cast(Mapping[str, Subject], sock.getpeercert() or {})
    return [value for parts in certificate.get("subject", ()) for name, value in parts if name == "commonName"]


def names_in_subject(subject: str) -> list[str]:
    """From a subject as RFC 2253 writes it, or the common name alone. None from what cannot be read."""
    if not subject or len(subject) > SUBJECT_CHARS:
        return []
    if "=" not in subject:
        return [subject]
    try:
        name = x509.Name.from_rfc4514_string(subject, OTHER_ATTRIBUTES)
    except ValueError:
        return []
    return [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
