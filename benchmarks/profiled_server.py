"""``python -m app``, sampled: writes what it saw to ``BENCHMARK_PROFILE`` when it ends.

Sampling begins with SIGUSR1, so that starting up is left out.
"""

import os
import signal
import sys
from pathlib import Path

from app.__main__ import main
from benchmarks.sampler import Sampler

OUTPUT_VARIABLE = "BENCHMARK_PROFILE"


def run() -> int:
    """Serve, sampled, until told to stop."""
    sampler = Sampler(Path(__file__).parents[1])
    signal.signal(signal.SIGUSR1, lambda *_: sampler.start())
    try:
        return main()
    finally:
        sampler.stop()
        sampler.write(Path(os.environ[OUTPUT_VARIABLE]))


if __name__ == "__main__":
    sys.exit(run())
