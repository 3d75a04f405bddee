"""From flags to a guidance service over a model: everything that can be wrong is said before training starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from semore.guidance.prompt_files import PromptFileError, load_prompts
from semore.guidance.qwen_errors import GuidanceModelError
from semore.guidance.qwen_load import load_qwen
from semore.guidance.qwen_memory import memory_plan
from semore.guidance.qwen_options import QwenOptions
from semore_fast.config import GuidanceConfig
from semore_fast.disk import readable_bytes
from semore_fast.errors import first_line
from semore_fast.guidance.background import BackgroundService, ServiceLimits
from semore_fast.guidance.chat_server import ChatOptions, ChatServer
from semore_fast.guidance.choose import GuidanceUnavailableError
from semore_fast.guidance.key_frames import KeyFrames
from semore_fast.guidance.label_cache import CachedModel, LabelCache
from semore_fast.guidance.model import FrameModel
from semore_fast.guidance.pipeline import LocalWords, Pipeline, TextSegmenter, Words

KEY = "SEMORE_GUIDANCE_KEY"
"""Environment variable with the chat server's key: flags are written to config.json, keys must not be."""
KEY_FRAME_INTERVAL = 8
KEY_FRAME_REST = 2
CLIPSEG = "CIDAS/clipseg-rd64-refined"
TRAINER_BYTES = 6 << 30
"""Kept free on a GPU for the learner: our estimate for the preset paper, with room to spare; not yet measured."""
_PROMPT_TOKENS = 512  # our longest prompt and answer, with room; the picture comes on top
_PIXELS_PER_TOKEN = 28 * 28

Say = Callable[[str], None]


def model_service(
    kind: str, guide: GuidanceConfig, scenario: str, device: torch.device, say: Say
) -> tuple[BackgroundService, str]:
    """The service behind `--guidance qwen`, `chat` and `recorded`, and what it is in one line.

    Raises:
        GuidanceUnavailableError: it cannot work here; one line with the fix.
    """
    try:
        model, reason = _model(kind, guide, scenario, device, say)
    except (GuidanceModelError, PromptFileError, ValueError, OSError, ImportError) as error:
        raise GuidanceUnavailableError(f"--guidance {kind}: {first_line(error)}") from error
    interval = guide.key_frame_interval or KEY_FRAME_INTERVAL
    limits = ServiceLimits(batch=guide.batch, queue=guide.queue, timeout_s=guide.timeout_s)
    service = BackgroundService(model, KeyFrames(interval, guide.scene_change, KEY_FRAME_REST), limits, say)
    return service, f"{reason}; key frames every {interval} steps and where the scene changes by {guide.scene_change:g}"


def _model(kind: str, guide: GuidanceConfig, scenario: str, device: torch.device, say: Say) -> tuple[FrameModel, str]:
    if kind == "recorded":
        if not guide.cache:
            raise ValueError("give the file of labels with --guide.cache")
        cache = LabelCache.recorded(Path(guide.cache))
        return CachedModel(None, cache), f"recorded: {len(cache)} labels of {cache.revision}"
    words: Words = _qwen(guide, scenario, device, say) if kind == "qwen" else _chat(guide, scenario)
    model: FrameModel = Pipeline(words, _segmenter(guide, device), device, say)
    reason = f"{kind} {guide.model} with {guide.segmenter} (asked for by name)"
    if guide.cache:
        model = CachedModel(model, LabelCache(Path(guide.cache), model.revision))
        reason += f", labels kept in {guide.cache}"
    return model, reason


def _qwen(guide: GuidanceConfig, scenario: str, device: torch.device, say: Say) -> LocalWords:
    options = QwenOptions(scenario=scenario, max_batch=guide.batch)
    if device.type == "cuda":
        _require_memory(guide, options, device)
    loaded = load_qwen(
        guide.model,
        revision=guide.revision or None,
        quantisation=guide.quantisation,
        device=device,
        options=options,
        prompts=Path(guide.prompts) if guide.prompts else None,
        download=guide.download,
    )
    return LocalWords(loaded, scenario, device, say)


def _chat(guide: GuidanceConfig, scenario: str) -> ChatServer:
    if not guide.url:
        raise ValueError("give the server with --guide.url, as http://127.0.0.1:8000/v1")
    options = ChatOptions(
        url=guide.url,
        model=guide.model,
        scenario=scenario,
        key=os.environ.get(KEY, ""),
        timeout_s=guide.timeout_s,
        at_once=guide.batch,
    )
    return ChatServer(options, load_prompts(Path(guide.prompts) if guide.prompts else None))


def _segmenter(guide: GuidanceConfig, device: torch.device) -> TextSegmenter:
    if guide.segmenter in ("cris", "cris-rn101"):
        from semore.guidance.cris_config import CrisConfig
        from semore_fast.guidance.cris_weights import load_cris_segmenter

        if not guide.segmenter_model or not guide.tokenizer:
            raise ValueError("cris needs --guide.segmenter-model FILE.safetensors and --guide.tokenizer FOLDER")
        config = CrisConfig.rn50() if guide.segmenter == "cris" else CrisConfig.rn101()
        return load_cris_segmenter(guide.segmenter_model, guide.tokenizer, config, device=device, max_batch=guide.batch)
    from semore.guidance.clipseg import load_clipseg
    from semore_fast.guidance.cris_weights import file_sha256

    source = guide.segmenter_model or CLIPSEG
    weights = Path(source) / "model.safetensors"
    revision = guide.segmenter_revision or (file_sha256(weights) if weights.is_file() else "")
    return load_clipseg(source, revision=revision, device=device, max_batch=guide.batch)


def _require_memory(guide: GuidanceConfig, options: QwenOptions, device: torch.device) -> None:
    from transformers import AutoConfig

    where: dict[str, Any] = {"revision": guide.revision or "main", "local_files_only": not guide.download}
    config = AutoConfig.from_pretrained(guide.model, trust_remote_code=False, **where)
    tokens = _PROMPT_TOKENS + options.max_pixels // _PIXELS_PER_TOKEN
    plan = memory_plan(config, guide.quantisation, guide.batch, tokens)
    require_room(plan.total_bytes, torch.cuda.mem_get_info(device)[0])


def require_room(needed_bytes: int, free_bytes: int) -> None:
    """Refuses a model that would not fit beside the learner.

    Raises:
        GuidanceModelError: with the numbers and the fix.
    """
    if needed_bytes + TRAINER_BYTES > free_bytes:
        raise GuidanceModelError(
            f"the model needs {readable_bytes(needed_bytes)} and the learner {readable_bytes(TRAINER_BYTES)}, but "
            f"{readable_bytes(free_bytes)} of GPU memory are free: choose a smaller --guide.model, "
            "--guide.quantisation nf4, a smaller --guide.batch, or a server with --guidance chat"
        )
