"""``python -m subscriber``."""

import sys

from subscriber.cli import main

if __name__ == "__main__":
    sys.exit(main())
