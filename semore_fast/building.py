"""From a configuration to the parts of a run: learner, replay buffer, environments, guidance, logs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from semore.admission import Admission, AdmitAll, SelectiveAdmission
from semore.agents import Agent, make_agent
from semore.config import GUIDED_METHODS
from semore.guidance import FaultRates
from semore.ops import Ops
from semore.replay_types import Replay, ReplaySpec
from semore.representations import ObservationSpec
from semore_fast import checkpoint
from semore_fast.arithmetic import choose_arithmetic, dtype_of, set_tf32
from semore_fast.backend import Choice, choose_ops
from semore_fast.capture import choose_calls
from semore_fast.collector import Collector
from semore_fast.compiling import compile_learner
from semore_fast.config import RunConfig
from semore_fast.disk import readable_bytes
from semore_fast.errors import UserError
from semore_fast.evaluator import Evaluator
from semore_fast.feed import Feed
from semore_fast.guidance import MODEL_KINDS, GuidanceService, NoGuidance, ScriptedService, make_guidance
from semore_fast.logging import MetricsWriter, TensorBoard
from semore_fast.mirror import MirroredReplay, ring_bytes, wants_mirror
from semore_fast.progress import Progress
from semore_fast.replay import make_replay
from semore_fast.rundir import MANIFEST, RunDirectory
from semore_fast.system import describe_system, usable_cores
from semore_fast.threads import Threads
from semore_fast.trainer import Parts
from semore_fast.worlds import Worlds, open_worlds

STACK = 3
"""Frames in an observation (the paper, facts of its public code)."""
ACTION_DIM = 2
_RESTART_SLACK = 1.05  # every episode keeps one frame more than it has steps


def build(config: RunConfig, run: RunDirectory, device: torch.device, progress: Progress, stack: ExitStack) -> Parts:
    """Builds everything the loop works with, and writes what was chosen and why to manifest.json."""
    threads = Threads(config.torch_threads or config.threads, device, progress.note)
    threads.check()
    ops, choices = build_ops(config, device)
    agent = build_agent(config, device, ops)
    spec = replay_spec(config, masks=config.agent in GUIDED_METHODS)
    progress.note(f"replay buffer: up to {readable_bytes(spec.bytes_needed)} for {spec.capacity} frames")
    replay, replay_reason = build_replay(config, spec, device)
    guidance, guidance_reason = build_guidance(config, device, progress.note)
    ids = isinstance(guidance, ScriptedService)
    worlds = open_worlds(config, ids=ids, logs=run.path / "carla", say=progress.note, stack=stack)
    collector = build_collector(config, worlds, replay, guidance)
    stack.callback(collector.close)
    feed = Feed(replay, config.sampling.batch_size, config.seed, device)
    if config.compile:
        compile_learner(agent)
    update, act, how = choose_calls(config.graphs, agent, store_stays=feed.store_stays)
    chosen = {
        "updates": f"compiled, {how}" if config.compile else how,
        "device": f"{device.type}, {kernel_threads(config)} threads, PyTorch's operations {threads.count}",
        "arithmetic": choose_arithmetic(config.learner.precision, device)[1],
        "kernels": ", ".join(f"{name} {choice.backend}" for name, choice in choices.items()),
        "replay": f"{replay_reason}; {feed.reason}",
        "guidance": guidance_reason,
    }
    made_of = {
        "kernels": {name: dataclasses.asdict(choice) for name, choice in choices.items()},
        "scenario": dataclasses.asdict(worlds.scenario),
        "parameters": sum(parameter.numel() for parameter in agent.parameters() if parameter.requires_grad),
    }
    record(run, progress, chosen, made_of)
    saved = checkpoint.load_latest(run.checkpoints) if run.checkpoints.is_dir() else None
    metrics, tensorboard = open_logs(config, run, None if saved is None else saved.step, stack)
    return Parts(
        config=config,
        run=run,
        agent=agent,
        update=update,
        act=act,
        threads=threads,
        collector=collector,
        feed=feed,
        evaluator=Evaluator(config, worlds),
        metrics=metrics,
        tensorboard=tensorboard,
        progress=progress,
        saved=saved,
    )


def record(run: RunDirectory, progress: Progress, chosen: dict[str, str], made_of: dict[str, Any]) -> None:
    """Says what was chosen and what has changed, and writes manifest.json.

    That of a run whose scenario has changed stays as the run began, so that whoever comes next is told, too.
    """
    changes = run.scenario_changes(made_of["scenario"])
    for note in (*(f"{name}: {choice}" for name, choice in chosen.items()), *run.notices, *changes):
        progress.note(note)
    if not changes:
        run.write_json(MANIFEST, {**chosen, "system": describe_system(), **made_of})


def build_guidance(config: RunConfig, device: torch.device, say: Callable[[str], None]) -> tuple[GuidanceService, str]:
    """Where masks and verdicts come from, and why."""
    guide, wanted = config.guide, config.agent in GUIDED_METHODS
    if config.guidance in MODEL_KINDS and wanted:
        from semore_fast.guidance.models import model_service  # transformers takes seconds: only where it is asked for

        return model_service(config.guidance, guide, config.scenario, device, say)
    rates = FaultRates(missed=guide.missed, false=guide.false, late=guide.late, late_steps=guide.late_steps)
    return make_guidance(
        config.guidance,
        wanted=wanted,
        privileged=True,
        key_frame_interval=guide.key_frame_interval or 1,
        faults=rates,
        seed=config.seed,
    )


def build_collector(config: RunConfig, worlds: Worlds, replay: Replay, guidance: GuidanceService) -> Collector:
    """The environments, and what stands between them and the buffer."""
    asked = not isinstance(guidance, NoGuidance)
    env = worlds.training_env(ids=isinstance(guidance, ScriptedService))
    admission: Admission = AdmitAll()
    if asked and config.guide.selective:
        admission = SelectiveAdmission(config.frames, config.guide.selective_fraction, config.seed)
    return Collector(env, replay, guidance, admission, stack=STACK, snapshots=asked)


def open_logs(
    config: RunConfig, run: RunDirectory, resume_frame: int | None, stack: ExitStack
) -> tuple[MetricsWriter, TensorBoard | None]:
    """metrics.jsonl and TensorBoard, without what a lost future wrote."""
    metrics = MetricsWriter(run.metrics, resume_frame=resume_frame or 0)
    stack.callback(metrics.close)
    if not config.tensorboard:
        return metrics, None
    tensorboard = TensorBoard(run.tensorboard, resume_frame=resume_frame)
    stack.callback(tensorboard.close)
    return metrics, tensorboard


def kernel_threads(config: RunConfig) -> int:
    """Of the C++ operations. These do not wait for one another by spinning, so they may have all cores in any case."""
    return config.threads or usable_cores()


def build_ops(config: RunConfig, device: torch.device) -> tuple[Ops, dict[str, Choice]]:
    """The hot operations of a run, and why these.

    Raises:
        UserError: a backend asked for by name cannot work.
    """
    dtype = dtype_of(choose_arithmetic(config.learner.precision, device)[0])
    return choose_ops(config.kernels, device, dtype, kernel_threads(config))


def build_agent(config: RunConfig, device: torch.device, ops: Ops) -> Agent:
    """The learner of a run, and how this process computes with it.

    Raises:
        UserError: the settings do not fit together, or not the device.
    """
    precision, _ = choose_arithmetic(config.learner.precision, device)
    set_tf32(precision, device)
    learner = dataclasses.replace(config.learner, precision=precision)
    spec = ObservationSpec(
        image_size=config.env.image_size, stack=STACK, n_step=config.sampling.n_step, action_dim=ACTION_DIM
    )
    try:
        return make_agent(config.agent, learner, spec, ops, device, config.semore)
    except ValueError as error:
        raise UserError(f"--agent {config.agent}: {error}") from error


def replay_spec(config: RunConfig, *, masks: bool) -> ReplaySpec:
    """Sizes of the buffer; capacity 0 becomes room for every frame that the run can see."""
    window = STACK + config.sampling.n_step
    steps = math.ceil(config.frames / config.env.action_repeat)
    whole = math.ceil(_RESTART_SLACK * steps) + config.envs * 2 * window
    size = config.env.image_size
    try:
        return ReplaySpec(
            capacity=config.sampling.capacity or whole,
            num_envs=config.envs,
            frame_shape=(3, size, size),
            action_dim=ACTION_DIM,
            stack=STACK,
            n_step=config.sampling.n_step,
            discount=config.sampling.discount,
            masks=masks,
        )
    except ValueError as error:
        raise UserError(f"--sampling: {error}") from error


def build_replay(config: RunConfig, spec: ReplaySpec, device: torch.device) -> tuple[Replay, str]:
    """The buffer, with a copy on the device where there shall be one, and why this one.

    Raises:
        UserError: it would not fit in memory, or the backend asked for is not there.
    """
    try:
        replay, reason = make_replay(config.replay, spec, threads=config.threads or None)
    except (MemoryError, RuntimeError) as error:
        raise UserError(str(error)) from error
    if device.type == "cpu":
        if config.sampling.frames_on == "device":
            raise UserError(
                "--sampling.frames-on device needs a GPU; on a CPU the ring already is the learner's memory"
            )
        return replay, reason
    needed, free = ring_bytes(spec), torch.cuda.mem_get_info(device)[0]
    if not wants_mirror(config.sampling.frames_on, needed, free):
        return replay, reason
    return MirroredReplay(replay, device), f"{reason}, {readable_bytes(needed)} of frames also on {device}"
