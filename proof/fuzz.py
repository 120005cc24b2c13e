"""Every reader of a stranger's bytes against bytes that look for their way through its code.

Each target (``targets``) runs in a process of its own under libFuzzer, which keeps the inputs that reach new code and
changes them further. A finding is an exception that the reader does not name, a value no store would take, an input
that takes too long, or a process that grows too large.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proof.report import Chapter
from proof.targets import TARGETS, Target

INPUTS = 200_000  # of each target
INPUT_BYTES = 4096  # several times the largest sample; longer ones are the requests' chapter
INPUT_SECONDS = 5  # of one input, on a busy machine; ordinary ones take microseconds
MEMORY_MIB = 512  # of the process with all its modules, a tenth of it before the first input
SHOWN_BYTES = 200  # of an input that found something
SEED = 7
AT_A_TIME = 2  # processes: the smallest machine we plan for has two cores
ROOT = Path(__file__).parent.parent
REACHED = re.compile(r"DONE +cov: (\d+)")
RAISED = re.compile(r"=== Uncaught Python exception: ===\n(.*)")

WHAT = f"""\
Coverage-guided fuzzing (atheris, libFuzzer) of the MindSphere codec with its header fields, Cumulocity frames, Pelion
messages, whole SmartREST conversations, the poller that tells where a request ends, and each setting that is a JSON
document, from the platforms' samples on. Each input of up to {INPUT_BYTES} bytes must give notifications that a
store takes, dead letters, or the reader's own error; in {INPUT_SECONDS} s and {MEMORY_MIB} MiB."""


def run(scale: float) -> Chapter:
    count = round(INPUTS * scale)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = list(pool.map(lambda name: fuzz(name, TARGETS[name], count), TARGETS))
    figures: dict[str, int | float | str] = {"inputs of each": count}
    figures |= {
        f"places in the code reached, {name}": reached for name, (reached, _) in zip(TARGETS, found, strict=True)
    }
    broken = [finding for _, finding in found if finding]
    return Chapter(
        title="Readers under fuzzing",
        what=WHAT,
        tried=count * len(TARGETS),
        unit="inputs",
        figures=figures,
        broken=broken,
        unproven="That a reader understands what a platform means; libraries in C are run, not followed.",
    )


def fuzz(name: str, target: Target, count: int) -> tuple[int, str]:
    """How much of the code was reached, and what was found; empty if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(seed)
        options = {
            "runs": count,
            "seed": SEED,
            "max_len": INPUT_BYTES,
            "timeout": INPUT_SECONDS,
            "rss_limit_mb": MEMORY_MIB,
            "artifact_prefix": f"{folder}/",
        }
        command = [sys.executable, "-m", "proof.fuzzer", name, str(corpus)]
        command += [f"-{option}={value}" for option, value in options.items()]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
        reached = REACHED.search(ended.stderr)
        if ended.returncode == 0 and reached:
            return int(reached.group(1)), ""
        return 0, f"{name}: {_found(ended.stdout + ended.stderr, Path(folder))}"


def _found(said: str, folder: Path) -> str:
    """What went wrong, and with which input."""
    raised = RAISED.search(said)
    what = raised.group(1) if raised else (said.strip().splitlines() or ["it ended without a word"])[-1]
    inputs = [path.read_bytes()[:SHOWN_BYTES] for path in folder.iterdir() if path.is_file()]
    return f"{what} at {inputs[0]!r}" if inputs else what
