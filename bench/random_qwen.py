"""Qwen2-VL-7B with random weights, as a folder: its sizes and costs are the real ones, its answers noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from qwen_tiny import IM_END, make_tokenizer, save_tiny

from semore.guidance.qwen_family import family_of, model_class

SHARD = "4GB"


def checkpoint(folder: Path, device: torch.device) -> Path:
    """The published sizes on a GPU (15.4 GiB on the disk), a tiny model without one."""
    if device.type == "cpu":
        return save_tiny(folder)
    tokenizer = make_tokenizer()
    config = seven_billion(tokenizer)
    with torch.device(device):
        default, _ = torch.get_default_dtype(), torch.set_default_dtype(torch.bfloat16)
        try:
            model = model_class(family_of(config))(config)
        finally:
            torch.set_default_dtype(default)
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    del model
    torch.cuda.empty_cache()
    return folder


def seven_billion(tokenizer: Any) -> Any:
    """Qwen2-VL-7B's published sizes, with the ids of a small tokenizer's special tokens."""
    from transformers import Qwen2VLConfig

    text = {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(IM_END),
    }
    vision = {"depth": 32, "embed_dim": 1280, "hidden_size": 3584}
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    return Qwen2VLConfig(text_config=text, vision_config=vision, **ids)
