"""One update of every method: the definition in float32 against what training runs, in turns.

    pytest bench/bench_update.py --benchmark-only

*definition*: the operations of `semore/ops.py`, float32, eager. *float32* and *bfloat16*: the operations that `auto`
takes, in that precision; bfloat16 where the device computes it. The others are in the precision that `auto` takes here:
*published*, in the order of published agents (`published_order.py`); *compiled*, through torch.compile, for two
methods since that takes a minute; *graphs* and *compiled graphs*, replayed as CUDA graphs, where there is a GPU. Same
method, same batch, same draws. Equality comes first: the losses of a first update agree with the definition's, to 0.1 %
in float32 and 5 % in bfloat16 (tests hold each operation to tighter bounds). Preset paper on a GPU; laptop without,
and two methods at paper's sizes, batch 32.

Without a GPU all of them take one thread, and two more take all cores: *definition, all cores*, where PyTorch's
operations do, and *all cores*, where the C++ operations do and PyTorch's take one, as the preset laptop runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from statistics import median, quantiles

import pytest
import torch
from gpu_timing import DEVICE, ON_GPU
from interleave import alternate, report, update_twice
from precision import in_precision
from published_order import published_order
from pytest_benchmark.fixture import BenchmarkFixture

from semore.agents import REPRESENTATIONS, Agent
from semore_fast.arithmetic import choose_arithmetic
from semore_fast.building import build_agent, build_ops
from semore_fast.capture import CudaRecorder, RecordedUpdate
from semore_fast.compiling import compile_learner
from semore_fast.config import RunConfig
from semore_fast.presets import PRESETS
from semore_fast.streams import learner_stream
from semore_fast.sweeping.estimate import noise_batch
from semore_fast.system import usable_cores

PRESET = "paper" if ON_GPU else "laptop"
CASES = [(PRESET, PRESETS[PRESET].sampling.batch_size, method) for method in REPRESENTATIONS]
if not ON_GPU:
    CASES += [("paper", 32, "sac"), ("paper", 32, "semore")]
ROUNDS = 30 if ON_GPU else 8
COMPILED = ("sac", "semore")
PRECISION = choose_arithmetic("auto", DEVICE)[0]
FASTEST = "graphs" if ON_GPU else "all cores"
"""What training runs unasked."""
NAMES = ["definition", "float32", *(["bfloat16"] if PRECISION == "bfloat16" else []), "published"]
NAMES += ["graphs"] if ON_GPU else ["definition, all cores", "all cores"]


def config_of(preset: str, batch: int, method: str) -> RunConfig:
    base = PRESETS[preset]
    sampling = dataclasses.replace(base.sampling, batch_size=batch)
    return dataclasses.replace(base, agent=method, sampling=sampling)  # type: ignore[arg-type]


class Learner:
    """A learner that updates twice a call, once with each cadence."""

    def __init__(self, config: RunConfig, contestant: str) -> None:
        defining = contestant.startswith("definition")
        precision = "float32" if defining or contestant == "float32" else PRECISION
        config = in_precision(config, precision)
        torch.manual_seed(0)
        cores = usable_cores() if "all cores" in contestant else 1
        self.torch_threads = cores if defining else 1
        kernels = "reference" if defining else "auto"
        ops = build_ops(dataclasses.replace(config, kernels=kernels, threads=cores), DEVICE)[0]
        with published_order() if contestant == "published" else nullcontext():
            self.agent: Agent = build_agent(config, DEVICE, ops)
        self.update: Callable[..., dict[str, torch.Tensor]] = self.agent.update
        if "compiled" in contestant:
            compile_learner(self.agent)
        if "graphs" in contestant:
            self.update = RecordedUpdate(self.agent, CudaRecorder(), store_stays=True)
        generator = torch.Generator().manual_seed(1)
        self.batch = noise_batch(config, generator, DEVICE)
        self.draws = self.agent.draw(config.sampling.batch_size, generator)

    def first_losses(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.update(self.batch, self.draws, True, True).items()}

    def __call__(self) -> None:
        if not ON_GPU:
            torch.set_num_threads(self.torch_threads)
        update_twice(self.update, self.batch, self.draws)
        if ON_GPU:
            torch.cuda.synchronize()


@pytest.fixture(autouse=True)
def _own_stream() -> Iterator[None]:
    """As in training: what is queued on the default stream cannot be recorded."""
    with learner_stream(DEVICE):
        yield


@pytest.mark.parametrize(("preset", "batch", "method"), CASES)
@pytest.mark.benchmark(group="update")
@pytest.mark.timeout(900)  # compiling
def test_update(benchmark: BenchmarkFixture, preset: str, batch: int, method: str) -> None:
    names = list(NAMES)
    if method in COMPILED:
        names += ["compiled", *(["compiled graphs"] if ON_GPU else [])]
    config = config_of(preset, batch, method)
    learners = {name: Learner(config, name) for name in names}
    losses = {name: learner.first_losses() for name, learner in learners.items()}
    for name in names[1:]:
        near = 1e-3 if name == "float32" or PRECISION == "float32" or "definition" in name else 0.05
        for key in ("loss/critic", "q/target"):
            assert losses[name][key] == pytest.approx(losses["definition"][key], rel=near, abs=near), (name, key)
    for learner in learners.values():
        for _ in range(4):  # graphs are recorded
            learner()
    spent = alternate(dict(learners), ROUNDS)
    benchmark.pedantic(learners[FASTEST], rounds=1)
    figures: dict[str, object] = {"preset": preset, "batch": batch}
    for name, seconds in spent.items():
        low, middle, high = quantiles(seconds, n=4)
        figures |= {f"{name}_ms": 500 * middle, f"{name}_quartiles_ms": [round(500 * low, 2), round(500 * high, 2)]}
    for name in names[1:]:
        figures[f"{name}_times_as_fast"] = times_as_fast(spent["definition"], spent[name])
    figures[f"{PRECISION}_times_as_fast_as_published"] = times_as_fast(spent["published"], spent[PRECISION])
    if not ON_GPU:
        both = spent["definition, all cores"], spent["all cores"]
        figures["all_cores_times_as_fast_as_definition_on_all_cores"] = times_as_fast(*both)
    report(benchmark, figures)


def times_as_fast(before: list[float], after: list[float]) -> float:
    """Median over rounds."""
    return median(b / a for b, a in zip(before, after, strict=True))
