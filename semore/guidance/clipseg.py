"""CLIPSeg (Lueddecke and Ecker 2022, "Image Segmentation Using Text and Image Prompts") through transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semore.guidance.phrase_segmenter import Features, Interpolation, PhraseSegmenter, PictureFormat

# Pillow's numbers for ways to resample, as stored beside a model.
INTERPOLATIONS: Mapping[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
COMMIT = re.compile(r"[0-9a-f]{40}")


class ClipSegSegmenter(PhraseSegmenter):
    """CLIPSeg as a segmenter.

    Args:
        model: a `transformers.CLIPSegForImageSegmentation`.
        tokenizer: its `transformers.CLIPTokenizer`.
        pictures: the format of its pictures.
        revision: names the weights: a commit or a name.
        max_batch: frames, phrases or pairs in the network at once.

    Raises:
        ValueError: for a bad `max_batch` or `revision`.
    """

    def __init__(
        self, model: Any, tokenizer: Any, pictures: PictureFormat, *, revision: str, max_batch: int = 16
    ) -> None:
        super().__init__(model, pictures, revision=revision, max_batch=max_batch, align_corners=False)
        self._model = model
        self._tokenizer = tokenizer

    def _encode_pictures(self, pictures: Tensor) -> Features:
        # The decoder reads hidden states; the first one is the encoder's input, hence the + 1.
        states = self._model.clip.vision_model(pixel_values=pictures, output_hidden_states=True).hidden_states
        return tuple(states[layer + 1] for layer in self._model.extract_layers)

    def _encode_phrases(self, phrases: Sequence[str]) -> Features:
        length = self._model.config.text_config.max_position_embeddings
        ids = self._tokenizer(list(phrases), padding=True, truncation=True, max_length=length, return_tensors="pt")
        conditional: Tensor = self._model.get_conditional_embeddings(
            batch_size=len(phrases),
            input_ids=ids["input_ids"].to(self.device),
            attention_mask=ids["attention_mask"].to(self.device),
        )
        return (conditional,)

    def _logits(self, pictures: Features, phrases: Features) -> Tensor:
        logits: Tensor = self._model.decoder(pictures, *phrases).logits
        return logits


def load_clipseg(
    source: Path | str, *, revision: str, device: torch.device | str = "cpu", max_batch: int = 16
) -> ClipSegSegmenter:
    """CLIPSeg from a local directory, or from the Hugging Face hub at one commit.

    Weights are read from safetensors only, and no code that comes with a model is run.

    Args:
        source: a directory written by `save_pretrained`, or a hub id such as `CIDAS/clipseg-rd64-refined`.
        revision: for a hub id the full commit (40 hex digits), so that the weights cannot change; for a directory a
            name of your own for what is in it.
        device: where the network goes.
        max_batch: frames, phrases or pairs in the network at once.

    Raises:
        ValueError: if `source` is no directory and `revision` no commit, or for picture settings we cannot follow.
        OSError: from transformers, if a file is missing or cannot be fetched.
        ImportError: without the package transformers.
    """
    from transformers import CLIPSegForImageSegmentation, CLIPTokenizer
    from transformers.image_processing_base import ImageProcessingMixin

    local = Path(source).is_dir()
    if not local and not COMMIT.fullmatch(revision):
        raise ValueError(
            f"{source} is no directory; for a model on the hub give its full commit (40 hex digits) as revision, "
            f"got {revision!r}"
        )
    where: dict[str, Any] = {"local_files_only": True} if local else {"revision": revision}
    settings, _ = ImageProcessingMixin.get_image_processor_dict(str(source), **where)
    pictures = _picture_format(settings, source)
    model: Any = CLIPSegForImageSegmentation.from_pretrained(
        str(source), use_safetensors=True, trust_remote_code=False, dtype=torch.float32, **where
    )
    tokenizer = CLIPTokenizer.from_pretrained(str(source), **where)
    return ClipSegSegmenter(model.to(device), tokenizer, pictures, revision=revision, max_batch=max_batch)


def _picture_format(settings: Mapping[str, Any], source: Path | str) -> PictureFormat:
    """The format that a model's `preprocessor_config.json` asks for."""
    size = settings.get("size")
    height, width = (size.get("height"), size.get("width")) if isinstance(size, Mapping) else (size, size)
    mean, std = settings.get("image_mean"), settings.get("image_std")
    interpolation = INTERPOLATIONS.get(settings.get("resample", 2))
    if not (isinstance(height, int) and height == width and mean and std and interpolation):
        raise ValueError(
            f"the preprocessor_config.json of {source} must give a square size, image_mean, image_std and "
            f"resample 2 or 3, got size {size}, resample {settings.get('resample')}"
        )
    red, green, blue = (float(value) for value in mean)
    red_std, green_std, blue_std = (float(value) for value in std)
    return PictureFormat(
        side=height, mean=(red, green, blue), std=(red_std, green_std, blue_std), interpolation=interpolation
    )
