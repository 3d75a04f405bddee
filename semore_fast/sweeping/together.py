"""Several seeds in one process, a thread each (and on a GPU a stream each): what a sweep starts for a `Group`.

Each seed has its own run directory, generators and networks, and gives what it gives alone.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from rich.console import Console

from semore_fast.cli import parse_run
from semore_fast.config import RunConfig
from semore_fast.errors import EXIT_OK, run_cli
from semore_fast.session import end_session, open_session, stop_on_signals
from semore_fast.streams import learner_stream
from semore_fast.trainer import Trainer


def main(argv: Sequence[str]) -> int:
    """`OUT=SEED,OUT=SEED,... flags of train`."""
    named, *flags = argv
    configs = []
    for pair in named.split(","):
        out, _, seed = pair.rpartition("=")
        configs.append(parse_run([*flags, "--out", out, "--seed", seed], "")[0])
    return train_together(configs)


def train_together(configs: Sequence[RunConfig]) -> int:
    """Trains all of them side by side, then measures them one after another; the first exit status that is not 0.

    Raises:
        UserError: one cannot be begun, or failed; the others are saved first.
    """
    with ExitStack() as stack:
        opened = [open_session(config, stack, _console(config)) for config in configs]
        trainers = [trainer for trainer in opened if trainer is not None]
        if not trainers:
            return EXIT_OK
        statuses = []
        with stop_on_signals(trainers), ThreadPoolExecutor(len(trainers)) as threads:
            running = {threads.submit(_train, trainer): trainer for trainer in trainers}
            for future in as_completed(running):
                statuses.append(end_session(running[future], future.result()))
        return next((status for status in statuses if status != EXIT_OK), EXIT_OK)


def _train(trainer: Trainer) -> bool:
    with learner_stream(trainer.parts.agent.device):
        return trainer.run()


def _console(config: RunConfig) -> Console:
    """Lines that begin with the run's name; panels of several runs would fight over the terminal."""
    return Console(file=cast(IO[str], _Named(Path(str(config.out)).name)), force_terminal=False, soft_wrap=True)


class _Named(io.TextIOBase):
    """A text file on standard output whose lines begin with a name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._begun = False

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            sys.stdout.write(line if self._begun else f"{self._name}: {line}")
            self._begun = not line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
