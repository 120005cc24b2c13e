"""``python -m bench [NAME ...]``: run these benchmarks, or all."""

from __future__ import annotations

import importlib
import sys

from bench import wrk

NAMES = (
    "accept",
    "keys",
    "pages",
    "handling",
    "memory",
    "register",
    "channels",
    "pelion",
    "pelion_socket",
    "realtime",
)


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if not wrk.installed():
        print("wrk is missing: install Debian's package of that name", file=sys.stderr)
        return 1
    for name in wanted:
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
