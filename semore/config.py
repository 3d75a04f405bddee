"""Everything that decides what is learnt with, as frozen values. Imports nothing heavy: the command line reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentConfig:
    """SAC's and the encoder's settings, the same for every method of a comparison."""

    trunk: Literal["sacae", "sacae-small", "dmr"] = "sacae"
    """Convolutions of every stream."""
    feature_dim: int = 50
    """Size of one head's output."""
    hidden_dim: int = 1024
    """Width of actor and critic."""
    hidden_layers: int = 2
    """Hidden layers of actor and critic."""
    layer_norm: bool = False
    """Layer norm after each hidden layer of actor and critic."""
    critic_bins: int = 0
    """Bins of a critic that learns a histogram of returns by cross-entropy (HL-Gauss); 0: one number by its square
    error, eq 10."""
    v_min: float = -60.0
    """Lowest return in the histogram."""
    v_max: float = 60.0
    """Highest return in the histogram."""
    centre: Literal["constant", "picture"] = "constant"
    """What is subtracted from x/255: the input offset, or the mean picture of the frames learnt from so far, pixel by
    pixel; with it a trunk taught who will be hit learns it in about a quarter of the updates (docs/learning.md)."""
    input_offset: float = 0.5
    """Subtracted from x/255 with a constant centre: 0 leaves a trunk nearly blind early on (docs/learning.md)."""
    shift_pixels: int = 0
    """Random shift of training pictures, up to this many pixels each way, border repeated."""
    learning_rate: float = 1e-3
    """Adam's, for encoder, critic, auxiliary heads and actor."""
    warmup_fraction: float = 0.0
    """The learning rate rises linearly from 0 over this fraction of the run: Adam's first steps are large whatever the
    gradient, and can silence a fresh trunk (docs/learning.md)."""
    final_learning_rate_fraction: float = 1.0
    """The learning rate falls linearly to this fraction of itself over the run."""
    temperature_learning_rate: float = 1e-4
    """Adam's, for the temperature (with beta1 0.5, as pixel SAC)."""
    initial_temperature: float = 0.1
    """Entropy temperature at the start."""
    fixed_temperature: bool = False
    """Keep the temperature at its initial value."""
    target_entropy: float | None = None
    """Entropy the temperature aims at; default minus the number of actions."""
    log_std_min: float = -10.0
    """Lowest log standard deviation of the policy."""
    log_std_max: float = 2.0
    """Highest log standard deviation of the policy."""
    critic_tau: float = 0.01
    """Step of the critic target towards the critic."""
    encoder_tau: float = 0.05
    """Step of the encoder target towards the encoder."""
    target_encoder: bool = True
    """Encode the bootstrap observation for the target with the slow encoder; off: with the online one (DrQ-v2)."""
    actor_every: int = 2
    """Updates between actor updates."""
    target_every: int = 2
    """Updates between target updates."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic of trunks and linear layers; parameters stay float32. tf32 is a GPU's faster, coarser float32. auto:
    bfloat16 where the device has instructions for it, else float32."""


Similarity = Literal["ssim", "cosine", "mse"]
Knowledge = Literal["online", "target", "gradient"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SemoreConfig:
    """What is in and what is out. M1-M4 are values of this."""

    motion_stream: bool = True
    """Off: the semantic stream alone (M1)."""
    interaction: bool = True
    """Bidirectional cross-attention between the streams (eqs 6-7)."""
    similarity_weight: float = 0.1
    """Weight of eq 5; 0 leaves it out. Light: a trunk that ignores its input serves it best (docs/learning.md)."""
    transition_weight: float = 1.0
    """Weight of eq 8; 0 leaves it out."""
    reward_weight: float = 1.0
    """Weight of eq 9; 0 leaves it out."""
    similarity: Similarity = "ssim"
    """Distance of eq 5."""
    similarity_standardised: bool = True
    """Standardise every channel of both maps over the minibatch before they are compared. Off: compared as they are,
    and a trunk that ignores its input is the nearest minimum (docs/learning.md)."""
    knowledge: Knowledge = "online"
    """Encoder of the masked frames: the online one without gradient, the target one, or online with gradient."""
    steered_fraction: float = 0.5
    """Share of a minibatch whose attention the knowledge map steers where there is one; the rest, like the acting
    policy, is steered by the semantic map. 1: all of it, so that the policy acts on features it never trained on."""
    absolute_residual: bool = False
    """Motion input as |o_t - o_{t-1}| instead of signed."""
    attention_channels: int = 32
    """C', channels of queries, keys and values."""
    attention_stride: int | None = None
    """Stride of the 3x3 convolutions that reduce the maps before attention; 0: 1x1, the maps keep their size.
    Default: 2, or 0 for maps smaller than 16 x 16, such as the dmr trunk's."""


ABLATIONS: dict[str, dict[str, bool | float]] = {
    "semore": {},
    "semore-m1": {"motion_stream": False, "interaction": False, "similarity_weight": 0.0, "transition_weight": 0.0},
    "semore-m2": {"interaction": False, "similarity_weight": 0.0, "transition_weight": 0.0},
    "semore-m3": {"interaction": False, "transition_weight": 0.0},
}
"""What each of the paper's variants takes out of M4 (Tab. 2); the reward head stays in all of them."""

METHOD_SUMMARIES: dict[str, str] = {
    "semore": "both streams, guidance, interaction (M4, the paper's method)",
    "semore-m1": "ablation: semantic stream only, no similarity loss",
    "semore-m2": "ablation: both streams concatenated, no guidance",
    "semore-m3": "ablation: M2 with the similarity loss",
    "sac": "pixel SAC on the stacked frames",
    "curl": "SAC with a contrastive loss between random crops",
    "flare": "SAC on frames encoded singly and their latent differences",
    "drq": "SAC averaged over random shifts",
    "deepmdp": "SAC with a latent transition and reward model",
    "simoun": "two interacting paths, curious where they disagree (our reading of the abstract)",
}
"""Every method by its name on the command line."""

GUIDED_METHODS = frozenset({"semore", "semore-m3"})
"""Masks and selective replay belong to these alone."""
