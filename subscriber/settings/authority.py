"""A private certificate authority that came as text, kept as the file that database drivers want.

The file lies in the folder for temporary files, named by its content: every process of the service writes the same.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path


def keep(certificates: str) -> str:
    """The path of a file of ours with these certificates (PEM). Raises ``ValueError`` if it cannot be written.

    It is put in place whole and replaces whatever was there, so nobody else's file is ever trusted.
    """
    name = f"subscriber-authority-{os.getuid()}-{sha256(certificates.encode()).hexdigest()[:16]}.pem"
    target = Path(tempfile.gettempdir()) / name
    try:
        descriptor, written = tempfile.mkstemp(prefix=name, dir=target.parent)  # readable by its owner alone
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(certificates)
            os.replace(written, target)
        except OSError:
            os.unlink(written)
            raise
    except OSError as error:
        raise ValueError(f"its certificates cannot be written to {target}: {error.strerror}") from error
    return str(target)
