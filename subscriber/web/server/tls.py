"""The server's side of TLS: one context, rebuilt when its files are replaced. Never asks for a restart.

Renewal tools replace files one after the other or swap a link; a pair that does not fit, or half a file, is not an
outage: the old certificate serves on until the files change again.
"""

from __future__ import annotations

import logging
import os
import ssl

logger = logging.getLogger(__name__)

FileIdentity = tuple[int, int, int]


class Certificate:
    """A certificate chain and its key, both PEM. Raises ``OSError`` (or its kind ``ssl.SSLError``) if unusable.

    With ``client_ca_file``, authorities (PEM), clients are asked for a certificate. None is a good answer, what it
    means is for routes to say; one that these authorities did not sign, directly or through others, ends the
    connection.
    """

    def __init__(self, cert_file: str, key_file: str, client_ca_file: str | None = None) -> None:
        self._files = (cert_file, key_file)
        self._client_ca_file = client_ca_file
        self._seen = self._identities()
        self.context = self._build()

    def refresh(self) -> bool:
        """Take up files that changed since the last look; True if a new certificate serves now. Two stat calls."""
        try:
            found = self._identities()
            if found == self._seen:
                return False
            self._seen = found
            self.context = self._build()
        except OSError as error:
            logger.error(
                "the renewed certificate is not usable, the old one serves on: %s",
                error.strerror or type(error).__name__,
                extra={"action": "certificate_refused", "reason": type(error).__name__},
            )
            return False
        logger.info("renewed certificate in use", extra={"action": "certificate_renewed"})
        return True

    def _identities(self) -> tuple[FileIdentity, ...]:
        """What changes when a file is replaced or rewritten."""
        found = [os.stat(path) for path in (*self._files, self._client_ca_file) if path]
        return tuple((file.st_ino, file.st_mtime_ns, file.st_size) for file in found)

    def _build(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # older ones are deprecated (RFC 8996)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._files)
        if self._client_ca_file:
            context.load_verify_locations(self._client_ca_file)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context
