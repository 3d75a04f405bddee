"""From a configuration to a finished run: trains, measures, leaves a directory one can look at."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console

from semore_fast.backend import choose_device
from semore_fast.building import build
from semore_fast.carla_config import CarlaConfig, require_carla
from semore_fast.config import RunConfig, to_dict
from semore_fast.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from semore_fast.progress import Progress
from semore_fast.results import finish_run, show_summary
from semore_fast.rundir import SUMMARY, RunDirectory
from semore_fast.streams import learner_stream
from semore_fast.trainer import Parts, Trainer

MAY_DIFFER = (
    *("out", "resume", "threads", "torch_threads", "tensorboard", "log_every_frames", "checkpoint_every_frames"),
    *("graphs", "sampling.frames_on"),
    *("guide.url", "guide.cache", "guide.download", "guide.batch", "guide.queue", "guide.timeout_s"),
    *(f"carla.{field.name}" for field in dataclasses.fields(CarlaConfig)),
)
"""Settings that may change when a run is resumed: they decide nothing about its result, or only when labels come."""


def run_session(config: RunConfig) -> int:
    """Trains to the end, or to Ctrl-C; returns the exit status."""
    with ExitStack() as stack:
        trainer = open_session(config, stack)
        if trainer is None:
            return EXIT_OK
        with stop_on_signals([trainer]), learner_stream(trainer.parts.agent.device):
            finished = trainer.run()
        return end_session(trainer, finished)


def open_session(config: RunConfig, stack: ExitStack, console: Console | None = None) -> Trainer | None:
    """Begins a run, or takes it up where it stopped; `stack` closes what it opens.

    Args:
        config: of the run.
        stack: closed when the run is left.
        console: where to say how it is doing; default the terminal.

    Returns:
        What trains it, or None if it is finished already.

    Raises:
        UserError: it cannot be begun or taken up.
    """
    if config.sim == "carla":
        require_carla(config.carla)
    out = config.out or default_out(config)
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    before, settings = to_dict(RunConfig()), to_dict(config)
    run = stack.enter_context(RunDirectory.open(out, settings, may_differ=MAY_DIFFER, defaults=before))
    if run.resumed and config.resume == "never":
        raise UserError(f"--resume never, but {out} holds a run already; give another --out")
    if (run.path / SUMMARY).exists():
        print(f"{out} is finished; give another --out, or --seed, to train anew")
        show_summary(run.read_json(SUMMARY))
        return None
    title = f"{config.scenario} {config.agent} {out}"
    progress = stack.enter_context(Progress(title, config.frames, console=console))
    parts = build(config, run, device, progress, stack)
    trainer = Trainer(parts)
    _start_or_restore(trainer, parts, run)
    return trainer


def end_session(trainer: Trainer, finished: bool) -> int:
    """Measures a run that is finished, says how to go on with one that is not; the exit status."""
    parts = trainer.parts
    if not finished:
        frame, out = parts.collector.frame, parts.run.path
        parts.progress.note(f"stopped at frame {frame}, saved in {out}; the same command resumes")
        return EXIT_INTERRUPTED
    finish_run(parts)
    return EXIT_OK


def default_out(config: RunConfig) -> Path:
    """runs/SCENARIO-AGENT-PRESET-seedN, runs/carla-… on CARLA."""
    simulator = "" if config.sim == "embedded" else f"{config.sim}-"
    return Path("runs") / f"{simulator}{config.scenario}-{config.agent}-{config.preset}-seed{config.seed}"


def _start_or_restore(trainer: Trainer, parts: Parts, run: RunDirectory) -> None:
    if parts.saved is None:
        if run.resumed:
            parts.progress.note("no checkpoint yet: starting afresh")
        parts.collector.start(parts.config.seed)
        return
    trainer.restore(parts.saved)
    parts.progress.note(f"resumed at frame {parts.collector.frame} from {parts.saved.path.name}")
    if parts.evaluator.worlds.on_resuming:
        parts.progress.note(parts.evaluator.worlds.on_resuming)


@contextmanager
def stop_on_signals(trainers: Sequence[Trainer]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the loops to save and stop; the second ends the process at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        for trainer in trainers:
            trainer.stop = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
