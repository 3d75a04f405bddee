"""The training loop: act, step, learn, measure, save; and go on from any checkpoint as if nothing had happened."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semore.agents import Agent
from semore.optimisers import load_optimiser_state, optimiser_state
from semore_fast import checkpoint, rng, state_tree
from semore_fast.capture import Act, Update
from semore_fast.clock import Every, Rate, SlowDown, TimeBudget, Until
from semore_fast.collector import Collector
from semore_fast.config import RunConfig
from semore_fast.envs.metrics import EpisodeResult
from semore_fast.errors import UserError
from semore_fast.evaluator import Evaluator
from semore_fast.exploration import Bursts
from semore_fast.feed import Feed
from semore_fast.logging import MetricsWriter, TensorBoard
from semore_fast.progress import Progress, Status
from semore_fast.rundir import RunDirectory
from semore_fast.threads import Threads


class Means:
    """Running means of the learner's metrics, on its device: nothing is fetched until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Adds one update's scalars."""
        for name, value in metrics.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def read(self) -> dict[str, float]:
        """Returns the means and starts anew; waits for the device."""
        means = {name: float(total) / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What the loop works with, built by `train.py`."""

    config: RunConfig
    run: RunDirectory
    agent: Agent
    update: Update
    act: Act
    threads: Threads
    collector: Collector
    feed: Feed
    evaluator: Evaluator
    metrics: MetricsWriter
    tensorboard: TensorBoard | None
    progress: Progress
    saved: checkpoint.Checkpoint | None


class Trainer:
    """Runs a training run to its end, or to the next safe point after `stop` is set."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        config = parts.config
        self.stop = False
        self.updates = 0
        self.steps = 0
        self._credit = 0.0
        self._saved_frame: int | None = None
        self._explore = np.random.default_rng([config.seed, 1])
        sampling = config.sampling
        self._bursts = Bursts(config.envs, sampling.burst_probability, sampling.burst_steps, self._explore)
        self._draws = torch.Generator().manual_seed(config.seed)
        self._more = Until(config.frames)
        self._clocks = {
            "log": Every(config.log_every_frames),
            "evaluate": Every(config.evaluation.every_frames),
            "checkpoint": Every(config.checkpoint_every_frames),
        }
        self._budget = TimeBudget()
        self._slow_down = SlowDown()
        self._means = Means()
        self._episodes: list[EpisodeResult] = []
        self._status: Status = {}

    def run(self) -> bool:
        """Trains until the last frame (True) or until asked to stop (False); either way the state is saved."""
        collector = self.parts.collector
        rates = Rate(collector.frame), Rate(self.updates)
        while self._more(collector.frame) and not self.stop:
            self._step()
            self.parts.threads.check()
            if self._clocks["log"](collector.frame):
                self._log(rates)
            if self._clocks["evaluate"](collector.frame):
                self.evaluate()
            if self._clocks["checkpoint"](collector.frame):
                self.save()
        if self._saved_frame != collector.frame:
            self.save()
        return not self._more(collector.frame)

    def _step(self) -> None:
        """One decision of every environment, and the updates that are due while the environments move."""
        config, collector = self.parts.config, self.parts.collector
        learning = collector.frame >= config.sampling.random_frames and self.parts.feed.ready
        began_s, begun, beside = time.perf_counter(), self.updates, collector.guidance.busy
        with self._budget("act"):
            actions = self._actions(collector.frame < config.sampling.random_frames)
        with self._budget("guidance"):
            collector.begin_step(actions)
        if learning:
            self._learn(collector.env.num_envs)
        with self._budget("env"):
            episodes = collector.finish_step()
        with self._budget("guidance"):
            collector.look()
        self.steps += 1
        if self.updates > begun and beside == collector.guidance.busy:
            self._slow_down.add((time.perf_counter() - began_s) / (self.updates - begun), beside=beside)
        for episode in episodes:
            self._record(episode)

    def _actions(self, at_random: bool) -> np.ndarray[Any, np.dtype[np.float32]]:
        shape = (self.parts.collector.env.num_envs, self.parts.agent.spec.action_dim)
        if at_random:
            return self._explore.uniform(-1, 1, shape).astype(np.float32)
        noise = torch.from_numpy(self._explore.standard_normal(shape, np.float32))
        device = self.parts.agent.device
        frames = torch.from_numpy(self.parts.collector.stacks.frames).to(device)
        actions = self.parts.act(frames, noise.to(device)).cpu().numpy()  # waits for the device
        if not np.isfinite(actions).all():
            raise self._diverged("the policy's action")
        self._bursts.disturb(actions)
        return actions

    def _learn(self, num_envs: int) -> None:
        config, agent = self.parts.config, self.parts.agent
        self._credit += config.sampling.updates_per_step * num_envs
        while self._credit >= 1:
            self._credit -= 1
            with self._budget("sample"):
                batch = self.parts.feed.sample()
                draws = agent.draw(config.sampling.batch_size, self._draws)
            with self._budget("update"):
                agent.set_progress(self.parts.collector.frame / config.frames)
                learner = config.learner
                metrics = self.parts.update(
                    batch, draws, self.updates % learner.actor_every == 0, self.updates % learner.target_every == 0
                )
                self._means.add(metrics)
            self.updates += 1

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        frame = self.parts.collector.frame
        self.parts.metrics.write(kind, frame=frame, step=self.steps, values=values)
        if self.parts.tensorboard is not None:
            self.parts.tensorboard.write(kind, frame=frame, values=values)

    def _record(self, episode: EpisodeResult) -> None:
        self._episodes.append(episode)
        self._write(
            "episode",
            {
                "episode_return": episode.episode_return,
                "episode_frames": episode.frames,
                "distance_m": episode.distance_m,
                "crash_intensity_ns": episode.crash_intensity_ns,
                "end_reason": episode.end_reason,
            },
        )

    def _log(self, rates: tuple[Rate, Rate]) -> None:
        collector = self.parts.collector
        means = self._means.read()
        self._check_finite(means)
        guidance, replay = collector.guidance.stats(), collector.replay.stats()
        servers = self.parts.evaluator.worlds.counts()
        status: Status = {
            "frame": collector.frame,
            "updates": self.updates,
            "frames_per_s": rates[0].per_second(collector.frame),
            "updates_per_s": rates[1].per_second(self.updates),
            "budget": self._budget.window(),
            "guidance": guidance,
            "carla": servers,
        }
        if (slow_down := self._slow_down.read()) is not None:
            status["slow_down"] = slow_down
        if self._episodes:
            status["episode_return"] = float(np.mean([episode.episode_return for episode in self._episodes]))
            status["crash"] = float(np.mean([episode.crash_intensity_ns for episode in self._episodes]))
            self._episodes = []
        if means:
            status["loss"] = means["loss/critic"]
            status["temperature"] = means.get("policy/temperature", math.nan)
        self._status = {**self._status, **status}
        self.parts.progress.update(self._status)
        values = {**means, "updates": self.updates, "frames_per_s": status["frames_per_s"]}
        values |= {"updates_per_s": status["updates_per_s"]}
        values |= {f"time/{name}": share for name, share in status["budget"].items()}
        values |= {f"guidance/{name}": count for name, count in guidance.items()}
        values |= {} if slow_down is None else {"guidance/slow_down": slow_down}
        values |= {f"carla/{name}": count for name, count in servers.items()}
        values |= {f"admission/{name}": count for name, count in collector.admission.stats().items()}
        values |= {f"replay/{name}": count for name, count in replay.items()}
        self._write("train", values)

    def _check_finite(self, means: dict[str, float]) -> None:
        bad = sorted(name for name, value in means.items() if not math.isfinite(value))
        if bad:
            raise self._diverged(", ".join(bad))

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"training diverged: {what} is not finite at frame {self.parts.collector.frame}; earlier checkpoints in "
            f"{self.parts.run.checkpoints} are whole; lower --learner.learning-rate"
        )

    def evaluate(self) -> None:
        """Drives the evaluation episodes and writes the five metrics."""
        with self._budget("evaluate"):
            summary = self.parts.evaluator.evaluate(self.parts.agent, self.parts.config.evaluation.episodes)
        self._write("evaluation", summary.to_dict())
        spread = summary.episode_return
        self.parts.progress.note(
            f"frame {self.parts.collector.frame}: return {spread.mean:.1f} ± {spread.standard_error:.1f} s.e., "
            f"distance {summary.distance_m.mean:.0f} m, crash {summary.crash_intensity_ns.mean:.0f} N s"
        )

    def _generators(self) -> dict[str, np.random.Generator | torch.Generator]:
        return {"explore": self._explore, "feed": self.parts.feed.generator, "draws": self._draws}

    def save(self) -> None:
        """Writes a checkpoint: learner, optimisers, buffer, simulator, counters and every random state."""
        with self._budget("checkpoint"):
            agent, collector = self.parts.agent, self.parts.collector
            trees = {
                "agent": agent.state_dict(),
                "optimisers": optimiser_state(agent.optimisers),
                "replay": collector.replay.state_arrays(),
                "world": collector.state_dict(),
                "bursts": self._bursts.state_dict(),
                "random": rng.capture(self._generators()),
            }
            flat = {name: state_tree.flatten(dict(tree)) for name, tree in trees.items()}
            meta = {
                "skeletons": {name: skeleton for name, (_, skeleton) in flat.items()},
                "counters": {"updates": self.updates, "steps": self.steps, "credit": self._credit},
                "clocks": {name: clock.state_dict() for name, clock in self._clocks.items()},
            }
            self.parts.metrics.sync()
            saved = checkpoint.save(
                self.parts.run.checkpoints, collector.frame, {name: leaves for name, (leaves, _) in flat.items()}, meta
            )
        self._saved_frame = collector.frame
        for notice in saved.notices:
            self.parts.progress.note(notice)

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Takes up a saved run exactly where it stood."""
        skeletons = saved.meta["skeletons"]
        trees = {name: state_tree.unflatten(leaves, skeletons[name]) for name, leaves in saved.tensors.items()}
        agent, collector = self.parts.agent, self.parts.collector
        agent.load_state_dict(trees["agent"])
        load_optimiser_state(agent.optimisers, trees["optimisers"])
        collector.replay.load_state_arrays(trees["replay"])
        collector.load_state_dict(trees["world"])
        if "bursts" in trees:  # runs of before had none
            self._bursts.load_state_dict(trees["bursts"])
        counters = saved.meta["counters"]
        self.updates, self.steps, self._credit = counters["updates"], counters["steps"], counters["credit"]
        self._saved_frame = saved.step
        for name, clock in self._clocks.items():
            clock.load_state_dict(saved.meta["clocks"][name])
        for notice in (*saved.notices, *rng.restore(trees["random"], self._generators())):
            self.parts.progress.note(notice)
