"""How much memory a Qwen guide takes, before it is loaded: can it stay beside the trainer?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from semore.guidance.qwen_family import SKIPPED_MODULES, family_of, model_class
from semore.guidance.qwen_load import Quantisation

# bitsandbytes' defaults: a scale for each 64 weights; double quantisation keeps it as a byte, and a float32 for each
# 256 of these. Its code books of 16 and 256 float32 and one offset come with every tensor.
NF4_BLOCK, NF4_OUTER_BLOCK = 64, 256
NF4_TABLE_BYTES = 4 * (16 + 256 + 1)
PATCH_VALUE_BYTES = 12
"""Of each value of a patch: float32 and the model's type, or before that float64 while resizing, with its copies."""
_BYTES = {"nf4": 2, "int8": 2, "bf16": 2, "fp32": 4}


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on the device.

    Attributes:
        weights_bytes: exact: parameters counted on the meta device, at what each takes in this quantisation.
        cache_bytes: exact: keys and values of all layers while phrases are generated; the judge needs none.
        activations_bytes: ESTIMATED upper bound of what one forward pass holds at once, see `memory_plan`.
    """

    weights_bytes: int
    cache_bytes: int
    activations_bytes: int

    @property
    def total_bytes(self) -> int:
        """The sum. Leaves out the CUDA context (some 0.5 GB) and the allocator's fragments."""
        return self.weights_bytes + self.cache_bytes + self.activations_bytes


def memory_plan(config: Any, quantisation: Quantisation, batch: int, tokens: int) -> MemoryPlan:
    """Memory for `batch` prompts of `tokens` tokens each (picture, text and answer together).

    Weights and cache are counted. Activations are estimated: a decoder layer's widest moment (residual and its
    normalised copy, and either queries, keys, values and output or gate, up and their product, all in float32 where
    a norm works), the same for a vision block with all tokens taken for the picture's, the logits of one place in
    model type and float32, and one layer's weights unpacked for nf4. Attention is taken to be the fused kind that
    stores no score matrix, and frames to be no larger than what the model sees. `tests/test_qwen.py` holds the
    estimate to what small models really use on a CPU.

    Args:
        config: a transformers config of a supported family.
        quantisation: as for `load_qwen`.
        batch: prompts in one forward pass.
        tokens: length of the longest, in tokens.

    Raises:
        GuidanceModelError: if the model's type is not supported.
        ValueError: if batch or tokens is not positive.
    """
    if batch < 1 or tokens < 1:
        raise ValueError(f"batch and tokens must be at least 1, got {batch} and {tokens}")
    kind = model_class(family_of(config))
    with torch.device("meta"):
        model = kind(config)
    text, width = config.text_config, _BYTES[quantisation]
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache = 2 * text.num_hidden_layers * text.num_key_value_heads * head * width * batch * tokens
    activations = _activations_bytes(config, quantisation, batch * tokens, batch)
    return MemoryPlan(_weights_bytes(model, quantisation), cache, activations)


def _weights_bytes(model: nn.Module, quantisation: str) -> int:
    """Bytes of all parameters. Tied ones (input and output words in small models) count once."""
    quantised = {id(layer.weight): layer for layer in _quantised_layers(model, quantisation)}
    total = 0
    for parameter in model.parameters():
        layer = quantised.get(id(parameter))
        if layer is None:
            total += parameter.numel() * _BYTES[quantisation]
        else:
            total += _nf4_bytes(parameter.numel()) if quantisation == "nf4" else _int8_bytes(layer)
    return total


def _quantised_layers(model: nn.Module, quantisation: str) -> list[nn.Linear]:
    if quantisation not in ("nf4", "int8"):
        return []
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(SKIPPED_MODULES)
    ]


def _nf4_bytes(count: int) -> int:
    scales = math.ceil(count / NF4_BLOCK)
    return math.ceil(count / 2) + scales + 4 * math.ceil(scales / NF4_OUTER_BLOCK) + NF4_TABLE_BYTES


def _int8_bytes(layer: nn.Linear) -> int:
    """A byte for each weight, a float32 scale for each row."""
    return layer.weight.numel() + 4 * layer.out_features


def _activations_bytes(config: Any, quantisation: str, places: int, batch: int) -> int:
    text, vision, width = config.text_config, config.vision_config, _BYTES[quantisation]
    decoder: int = places * _widest(text.hidden_size, text.intermediate_size, width)
    vision_hidden = getattr(vision, "embed_dim", None) or vision.hidden_size
    vision_inner = getattr(vision, "intermediate_size", None) or vision_hidden * vision.mlp_ratio
    patches = places * vision.spatial_merge_size**2
    patch_values = 3 * vision.temporal_patch_size * vision.patch_size**2
    sight: int = patches * (_widest(vision_hidden, vision_inner, width) + patch_values * PATCH_VALUE_BYTES)
    logits: int = batch * text.vocab_size * (width + 4)
    unpacked: int = text.hidden_size * text.intermediate_size * width if quantisation == "nf4" else 0
    embeddings: int = places * text.hidden_size * width
    return max(decoder, sight) + embeddings + logits + unpacked


def _widest(hidden: int, inner: int, width: int) -> int:
    """Bytes for each place at a block's widest moment."""
    residual = hidden * (2 * width + 4)
    return residual + width * max(4 * hidden, 3 * inner)
