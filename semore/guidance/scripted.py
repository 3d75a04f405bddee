"""Scripted guidance: privileged answers from the simulator's ids and state, in place of a real model's.

It reads what no camera shows, things hidden by the dark included, and is the offline default because it is
exact and repeatable. Results obtained with it are results with privileged guidance: report them as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore.guidance.macro import macro_action
from semore.guidance.protocols import Privileged, Snapshot
from semore.guidance.scripted_judge import reasonable

PEDESTRIAN, RIDER, CAR, TRUCK, BICYCLE, ROAD_LINE = 12, 13, 14, 15, 19, 24

CROSSING = "a pedestrian crossing the road"
STANDING = "a pedestrian standing by the road"
CYCLIST = "a cyclist ahead"
ONCOMING = "an oncoming vehicle"
VEHICLE = "a vehicle ahead"
LANE_MARKINGS = "the lane markings"
PHRASES = (CROSSING, STANDING, CYCLIST, ONCOMING, VEHICLE, LANE_MARKINGS)

# Our constants: fewer pixels than this are not recognisable; slower than this is standing.
MIN_PIXELS = 3
MOVING_MPS = 0.3


class PrivilegedMissingError(ValueError):
    """Scripted guidance was asked about a frame that carries no privileged information."""


class Scripted:
    """The privileged annotator, segmenter and judge.

    Args:
        edge_sigma_px: softness of the masks' edges, the standard deviation of a Gaussian halo outside each
            thing; 0 for hard edges. A thing's own pixels are always 1, so that a person one pixel wide stays.
        lane_markings: whether lane markings are named. They keep masks from being empty on a free road.
    """

    def __init__(self, edge_sigma_px: float = 1.0, lane_markings: bool = True) -> None:
        if not 0 <= edge_sigma_px <= 16:
            raise ValueError(f"edge_sigma_px must be between 0 and 16 pixels, got {edge_sigma_px}")
        self._kernel = _gaussian(edge_sigma_px)
        self._lane_markings = lane_markings

    def annotate(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The phrases among `PHRASES` that fit something visible in the frame, in that order."""
        privileged = _privileged(snapshot)
        named = set(_phrase_of_instance(privileged).values())
        if self._lane_markings and np.count_nonzero(privileged.class_ids == ROAD_LINE) >= MIN_PIXELS:
            named.add(LANE_MARKINGS)
        return tuple(phrase for phrase in PHRASES if phrase in named)

    def segment(self, snapshot: Snapshot, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Mask `[H, W]` in [0, 1] of the things that the phrases name (eq 4).

        No pixel belongs to two phrases and the halo is linear, so blurring the union once equals the clamped
        sum of each phrase's own mask.

        Raises:
            ValueError: for a phrase outside `PHRASES`: the script reads ids, it does not understand text.
        """
        unknown = [phrase for phrase in phrases if phrase not in PHRASES]
        if unknown:
            raise ValueError(f"scripted segmenter knows only {list(PHRASES)}, not {unknown}")
        privileged = _privileged(snapshot)
        chosen = np.zeros(256, np.bool_)
        for instance, phrase in _phrase_of_instance(privileged).items():
            chosen[instance] = phrase in phrases
        hard = chosen[privileged.instance_ids]
        if LANE_MARKINGS in phrases:
            hard |= privileged.class_ids == ROAD_LINE
        return soften(hard, self._kernel)

    def judge(self, snapshot: Snapshot, action: NDArray[np.float32]) -> bool:
        """Whether `action` `[2]` is reasonable by the rule of `scripted_judge`."""
        return reasonable(_privileged(snapshot), macro_action(action))

    def delay_steps(self) -> int:
        """0: a script answers at once."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Empty: no answer depends on an earlier one."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept an empty state."""
        if state:
            raise ValueError(f"scripted guidance without faults has no state, got keys {sorted(state)}")


def soften(hard: NDArray[np.bool_], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a boolean mask `[H, W]` a soft edge outwards, by a separable blur with `kernel` (odd length)."""
    blurred = hard.astype(np.float32)
    radius = kernel.size // 2
    if radius:
        blurred = _blur_rows(_blur_rows(blurred, kernel).T, kernel).T
        np.minimum(blurred, 1.0, out=blurred)
        blurred[hard] = 1.0
    return np.ascontiguousarray(blurred)


def _blur_rows(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolve along the first axis, zero outside the image."""
    radius = kernel.size // 2
    blurred: NDArray[np.float32] = image * kernel[radius]
    for offset in range(1, min(radius, image.shape[0] - 1) + 1):
        weighted = image * kernel[radius + offset]
        blurred[offset:] += weighted[:-offset]
        blurred[:-offset] += weighted[offset:]
    return blurred


def _gaussian(sigma_px: float) -> NDArray[np.float32]:
    """Normalised kernel out to two sigma; a single 1 for sigma 0."""
    radius = int(np.ceil(2 * sigma_px))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / max(sigma_px, 1e-6)) ** 2)
    kernel: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return kernel


def _phrase_of_instance(privileged: Privileged) -> dict[int, str]:
    """The phrase of every actor with at least `MIN_PIXELS` pixels in view.

    Of actors beyond the privileged list's eight only ids are known: they count as standing.
    """
    pixels = np.flatnonzero(privileged.instance_ids)
    instances = privileged.instance_ids.ravel()[pixels]
    class_of = np.zeros(256, np.uint8)
    class_of[instances] = privileged.class_ids.ravel()[pixels]
    velocity = {int(row[1]): (float(row[4]), float(row[5])) for row in privileged.actors if row[0] > 0}
    phrases: dict[int, str] = {}
    for instance in np.flatnonzero(np.bincount(instances, minlength=256) >= MIN_PIXELS):
        phrase = _phrase(int(class_of[instance]), *velocity.get(int(instance), (0.0, 0.0)))
        if phrase is not None:
            phrases[int(instance)] = phrase
    return phrases


def _phrase(class_id: int, vx_mps: float, vy_mps: float) -> str | None:
    if class_id == PEDESTRIAN:
        return CROSSING if np.hypot(vx_mps, vy_mps) > MOVING_MPS else STANDING
    if class_id in (RIDER, BICYCLE):
        return CYCLIST
    if class_id in (CAR, TRUCK):
        return ONCOMING if vx_mps < -MOVING_MPS else VEHICLE
    return None


def _privileged(snapshot: Snapshot) -> Privileged:
    if snapshot.privileged is None:
        raise PrivilegedMissingError(
            "scripted guidance is privileged: it needs the simulator's ids and state, which this environment "
            "does not give; use --guidance none"
        )
    return snapshot.privileged
