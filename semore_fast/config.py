"""Everything that decides a run, as one frozen value.

Imports nothing heavy: `--help` reads this file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from semore.config import AgentConfig, SemoreConfig
from semore_fast.carla_config import CarlaConfig

ScenarioName = Literal["jw", "hb", "hw"]
AgentName = Literal["semore", "semore-m1", "semore-m2", "semore-m3", "sac", "curl", "flare", "drq", "deepmdp", "simoun"]
PresetName = Literal["paper", "dmr", "laptop", "fast"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvConfig:
    """The simulator's camera and clock."""

    image_size: int = 128
    """Side of the square picture, pixels."""
    supersample: int = 1
    """Draw the picture this many times larger and average."""
    action_repeat: int = 1
    """Frames an action is held; rewards are summed."""
    weather: Literal["scenario", "day", "dusk", "midnight", "rain", "fog"] = "scenario"
    """Light and weather; `scenario` takes the scenario's own."""
    reward: Literal["dmr", "zhang"] = "dmr"
    """Reward formula (docs/simulator.md)."""
    max_episode_frames: int = 500
    """Frames to the time limit (25 s at 20 frames a second)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayConfig:
    """What is tried, what is kept and how it is sampled."""

    capacity: int = 0
    """Frames kept; 0 keeps every frame of the run."""
    batch_size: int = 128
    """Transitions in a minibatch."""
    n_step: int = 1
    """Steps of reward before the bootstrap."""
    discount: float = 0.99
    """Per step."""
    random_frames: int = 1000
    """Frames driven at random before learning starts."""
    burst_probability: float = 0.0
    """Chance, at every step, that one action begins to be held at a random value for `burst_steps` steps."""
    burst_steps: int = 4
    """Steps that a burst lasts."""
    updates_per_step: float = 1.0
    """Gradient steps for each step of each environment."""
    frames_on: Literal["auto", "host", "device"] = "auto"
    """Where a GPU's minibatches come from: gathered on the host and moved, or a copy of the whole buffer on the device.
    auto: the device where the copy takes at most half of the memory that is free there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceConfig:
    """How frames get their masks and verdicts. Only guided methods (semore, semore-m3) use them."""

    key_frame_interval: int = 0
    """Annotate every n-th step of each environment; 0: every one for scripted, every 8th for a model."""
    scene_change: float = 12.0
    """For a model: annotate between those too where the picture changed by so many grey levels of 255; 0 never does."""
    missed: float = 0.0
    """Share of answers that go missing, to study a real model's faults."""
    false: float = 0.0
    """Share of answers that are wrong."""
    late: float = 0.0
    """Share of masks that arrive late."""
    late_steps: int = 8
    """How late, in steps."""
    selective: bool = True
    """Let the judge screen early experience (selective replay)."""
    selective_fraction: float = 0.1
    """Share of the run during which it screens."""
    model: str = "Qwen/Qwen2-VL-7B-Instruct"
    """For qwen: a folder, or an id on the Hugging Face hub. For chat: the model's name on the server."""
    revision: str = ""
    """For qwen: commit of the hub's repository, 40 hexadecimal digits; pin it so that a run can be repeated."""
    quantisation: Literal["nf4", "int8", "bf16", "fp32"] = "nf4"
    """For qwen: precision of the text model's weights."""
    download: bool = False
    """For qwen and the segmenter: fetch what is missing from the hub (about 16 GB for the default model)."""
    url: str = ""
    """For chat: an OpenAI-compatible server, up to and including /v1. SEMORE_GUIDANCE_KEY is sent as its key."""
    segmenter: Literal["clipseg", "cris", "cris-rn101"] = "clipseg"
    """What finds the phrases in the picture, for qwen and chat; cris is the one on CLIP RN50."""
    segmenter_model: str = ""
    """Its weights: for clipseg a folder or hub id, for cris a file made by semore_fast.guidance.convert_cris."""
    segmenter_revision: str = ""
    """For clipseg from the hub: commit, 40 hexadecimal digits."""
    tokenizer: str = ""
    """For cris: folder of CLIP's tokenizer."""
    prompts: str = ""
    """Folder with prompt files of your own; empty for the package's."""
    cache: str = ""
    """File of labels that runs share: what is in it is not asked for again. For recorded: where labels come from."""
    batch: int = 16
    """For a model: frames at a time, or fewer after half a second."""
    queue: int = 256
    """For a model: requests that wait at most; the oldest gives way."""
    timeout_s: float = 60.0
    """For a model: requests that waited longer are given up, and so are answers of a server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How often and how thoroughly a run is measured. Evaluation has its own simulators and seeds."""

    every_frames: int = 10_000
    """Frames between evaluations."""
    episodes: int = 20
    """Episodes of each; 20 are good to about 20 points of return."""
    final_episodes: int = 60
    """Episodes of the last one, seen and not drawn."""
    envs: int = 10
    """Episodes driven at a time."""
    driver_episodes: int = 20
    """Episodes of each reference driver after the run, for the plot; 0 leaves them out."""
    videos: int = 1
    """Episodes to film after the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One training run."""

    scenario: ScenarioName = "jw"
    """jw: JayWalk, pedestrians cross; hb: HighBeam, a cyclist and oncoming lights at midnight; hw: HighWay, traffic."""
    agent: AgentName = "semore"
    """The method; `python -m semore_fast.info` describes them."""
    sim: Literal["embedded", "carla"] = "embedded"
    """The simulator: embedded is semore-fast's own, carla drives on CARLA servers (docs/carla.md)."""
    preset: PresetName = "paper"
    """Where the other settings start from: paper (128 px, batch 128, 110 000 frames), dmr (its published values),
    laptop (32 px, small networks, 16 environments) or fast (half as long again). Default: paper with a GPU, laptop
    without."""
    frames: int = 110_000
    """Simulator frames to train for."""
    seed: int = 1
    """Of everything: networks, exploration, minibatches, simulator."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to learn."""
    threads: int = 0
    """CPU threads to learn with; 0 takes all cores."""
    torch_threads: int = 0
    """How many of them PyTorch's own operations take; 0: --threads, or where that is left open one while other
    processes use the cores. At 32 px a second one brings nothing to them; C++ operations take --threads in any case."""
    kernels: str = "auto"
    """Backend of the hot operations: auto, reference, cpp, triton, or a module of your own such as my_package.my_ops;
    several, separated by commas, are asked in that order (kernels/README.md)."""
    graphs: Literal["auto", "on", "off"] = "auto"
    """Replay updates and decisions as CUDA graphs. auto: on a GPU."""
    compile: bool = False
    """Compile losses and their gradients with torch.compile: the first update then takes up to a minute, less once a
    cache on disk is warm, and results differ by rounding."""
    replay: Literal["auto", "reference", "cpp"] = "auto"
    """Backend of the replay buffer."""
    guidance: Literal["auto", "scripted", "qwen", "chat", "recorded", "none"] = "auto"
    """Who names and masks what matters. scripted reads the simulator's own state (privileged), qwen is a model in this
    process, chat one behind a server, recorded the labels of earlier runs (docs/guidance.md)."""
    envs: int = 1
    """Environments stepped side by side; the ratio of updates to frames stays the same."""
    out: Path | None = None
    """Run directory; default runs/SCENARIO-AGENT-PRESET-seedN."""
    resume: Literal["auto", "never"] = "auto"
    """auto: continue what the run directory holds; never: refuse a directory that holds a run."""
    checkpoint_every_frames: int = 20_000
    """Frames between checkpoints; one is also written at the end and on Ctrl-C."""
    log_every_frames: int = 1_000
    """Frames between lines in metrics.jsonl."""
    tensorboard: bool = True
    """Also write TensorBoard events."""
    env: EnvConfig = field(default_factory=EnvConfig)
    sampling: ReplayConfig = field(default_factory=ReplayConfig)
    learner: AgentConfig = field(default_factory=AgentConfig)
    semore: SemoreConfig = field(default_factory=SemoreConfig)
    guide: GuidanceConfig = field(default_factory=GuidanceConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    carla: CarlaConfig = field(default_factory=CarlaConfig)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as JSON-able values."""
    values = dataclasses.asdict(config)
    values["out"] = None if config.out is None else str(config.out)
    return values


def from_dict(values: dict[str, Any]) -> RunConfig:
    """The inverse of `to_dict`. What an earlier version did not know takes its default, which is what it did.

    Raises:
        TypeError: a field is unknown.
    """
    nested = {
        "env": EnvConfig,
        "sampling": ReplayConfig,
        "learner": AgentConfig,
        "semore": SemoreConfig,
        "guide": GuidanceConfig,
        "evaluation": EvaluationConfig,
        "carla": CarlaConfig,
    }
    parts = {name: kind(**values.get(name, {})) for name, kind in nested.items()}
    out = None if values["out"] is None else Path(values["out"])
    return RunConfig(**{**values, **parts, "out": out})
