"""Qwen2-VL-7B with random weights, as a folder: its sizes and costs are the real ones, its answers noise."""

from __future__ import annotations

from pathlib import Path

import torch
from qwen_tiny import IM_END, make_tokenizer, save_tiny, seven_billion, special_ids

from semore.guidance.qwen_family import family_of, model_class

SHARD = "4GB"


def checkpoint(folder: Path, device: torch.device) -> Path:
    """The published sizes on a GPU (15.4 GiB on the disk), a tiny model without one."""
    if device.type == "cpu":
        return save_tiny(folder)
    tokenizer = make_tokenizer()
    end = tokenizer.convert_tokens_to_ids(IM_END)
    config = seven_billion({"bos_token_id": None, "eos_token_id": end}, **special_ids(tokenizer))
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
