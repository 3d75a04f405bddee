"""What the client's exceptions mean. Its messages differ between versions and are never looked at, only passed on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from semore_fast.envs.carla.errors import CarlaLost, CarlaTimeout
from semore_fast.errors import first_line

__all__ = ["asking"]

_NEARLY = 0.9
"""Of a time-out: the client's clock and ours do not start together."""


@contextmanager
def asking(what: str, timeout_s: float) -> Iterator[None]:
    """Turn the client's `RuntimeError` into ours.

    Raises:
        CarlaTimeout: the call took as long as it may.
        CarlaLost: it failed sooner.
    """
    start = time.monotonic()
    try:
        yield
    except RuntimeError as error:
        if time.monotonic() - start >= _NEARLY * timeout_s:
            raise CarlaTimeout(f"{what}: the server did not answer within {timeout_s:g} s") from error
        raise CarlaLost(f"{what}: {first_line(error)}") from error
