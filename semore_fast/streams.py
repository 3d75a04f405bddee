"""Where a learner's kernels queue on a GPU."""

import contextlib
from collections.abc import Iterator

import torch

_AHEAD = -1  # CUDA: lower numbers go first; a guidance model works on the default stream, of priority 0


@contextlib.contextmanager
def learner_stream(device: torch.device) -> Iterator[None]:
    """A stream of the calling thread's own: ahead of a guidance model's, overlapping other seeds'. Nothing on a CPU."""
    if device.type != "cuda":
        yield
        return
    own = torch.cuda.Stream(device, priority=_AHEAD)
    own.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(own):
        yield
    torch.cuda.current_stream(device).wait_stream(own)
