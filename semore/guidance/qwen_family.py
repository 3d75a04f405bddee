"""The Qwen-VL models that can be guides, and how each prepares pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from semore.guidance.qwen_errors import GuidanceModelError
from semore.guidance.qwen_pixels import CLIP_MEAN, CLIP_STD, HALF, PatchSettings

DEFAULT_MODEL = "Qwen/Qwen2-VL-7B-Instruct"
"""The paper's model ("Implementation details")."""

SKIPPED_MODULES = ("model.visual", "lm_head")
"""Never quantised: small, and sight suffers most. transformers 5 wants the full path of the vision tower."""


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        class_name: in transformers.
        mean: of each channel, for pixels in [0, 1].
        std: standard deviation of each channel.
    """

    class_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


FAMILIES = {
    "qwen2_vl": Family("Qwen2VLForConditionalGeneration", CLIP_MEAN, CLIP_STD),
    "qwen2_5_vl": Family("Qwen2_5_VLForConditionalGeneration", CLIP_MEAN, CLIP_STD),
    "qwen3_vl": Family("Qwen3VLForConditionalGeneration", HALF, HALF),
}
"""By `config.model_type`."""


def family_of(config: Any) -> Family:
    """The family of a transformers config.

    Raises:
        GuidanceModelError: if it is not one of `FAMILIES`.
    """
    if config.model_type not in FAMILIES:
        raise GuidanceModelError(
            f"model type {config.model_type!r} is not supported: choose a `model` of type {', '.join(FAMILIES)}"
        )
    return FAMILIES[config.model_type]


def model_class(family: Family) -> Any:
    """The family's class in transformers.

    Raises:
        GuidanceModelError: if the installed transformers is too old to have it.
    """
    import transformers

    found = getattr(transformers, family.class_name, None)
    if found is None:
        raise GuidanceModelError(
            f"transformers {transformers.__version__} has no {family.class_name}: pip install -U 'transformers>=5.17'"
        )
    return found


def patch_settings(config: Any, min_pixels: int, max_pixels: int) -> PatchSettings:
    """Preprocessing for a model of this config; the limits are areas in pixels.

    Raises:
        GuidanceModelError: if the model's type is not supported, or the limits are not in order.
    """
    family, vision = family_of(config), config.vision_config
    try:
        return PatchSettings(
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            mean=family.mean,
            std=family.std,
        )
    except ValueError as error:
        raise GuidanceModelError(str(error)) from error
