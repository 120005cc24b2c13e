"""Does the service believe the client certificate that Device Management shows to callbacks?

Follows "Setting a notification channel" (subjects and fingerprints of the chain). The leaf below them has the common
name PELION_CLIENT_CN. Intermediates are replaced over the years, and travel with the leaf: only the root is needed.
"""

from __future__ import annotations

from datetime import datetime

from subscriber.certificates import fingerprints
from subscriber.store import Finding

ROOT = "D6:9B:56:11:48:F0:1C:77:C5:45:78:C1:09:26:DF:5B:85:69:76:AD"
ROOT_NAME = "OU=GlobalSign Root CA - R3, O=GlobalSign, CN=GlobalSign"
INTERMEDIATE = "EF:90:B2:B8:6F:47:56:EB:E7:D3:6F:F3:01:5D:63:52:3A:00:76:E9"
NAME = "pelion_authorities"


def finding(path: str, now: datetime, *, emulated: bool) -> Finding:
    """Of the file TLS_CLIENT_CA_FILE. ``emulated``: all channels are an emulator's, which has a root of its own."""
    try:
        found = fingerprints(path)
    except (OSError, ValueError) as error:
        detail = f"TLS_CLIENT_CA_FILE cannot be read: {type(error).__name__}"
        return Finding(name=NAME, ok=False, detail=detail)
    if ROOT not in found:
        detail = f"{path} lacks {ROOT_NAME} (SHA-1 {ROOT}): Device Management's callbacks are refused"
        return Finding(name=NAME, ok=emulated, detail="the authorities of an emulator" if emulated else detail)
    others = len(set(found) - {ROOT, INTERMEDIATE})
    more = f"; {others} other authorities are believed as well" if others else ""
    detail = f"{ROOT_NAME} is there, it ends {found[ROOT]:%Y-%m-%d}{more}"
    return Finding(name=NAME, ok=found[ROOT] > now, detail=detail)
