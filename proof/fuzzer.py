"""``python -m proof.fuzzer TARGET CORPUS [libFuzzer's options]``: one target, followed by its coverage of our code.

A process of its own, for libFuzzer ends the one it runs in: 0 after the last input, else a code for what it found.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]  # its stubs lack what is used here

FOLLOWED = ["subscriber.platforms", "subscriber.settings", "subscriber.web.server.framing"]

with atheris.instrument_imports(include=FOLLOWED):
    from proof.targets import TARGETS

if __name__ == "__main__":
    chosen = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, chosen.read)
    atheris.Fuzz()
