"""A child process ends when its parent does, even if the parent was killed and could say nothing.

Linux only (prctl, PR_SET_PDEATHSIG); elsewhere a child learns of it when it next looks at its parent's id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with(parent: int) -> None:
    """Have the kernel send this process SIGTERM when its parent, of process id ``parent``, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)
