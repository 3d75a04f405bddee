"""How many CPU threads PyTorch's operations take, where the user leaves it open: all cores, unless others use them.

A convolution's threads wait for one another by spinning. Where another process takes one of the cores, they end up
waiting whole time slices: with two threads on two cores, one of them in use by a process of another session, an update
took 4.4 s instead of 0.07, and 0.10 with one thread (docs/performance.md). So a small convolution is tried now and
then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F

_BUSY = 2.0
"""All cores are given up where one thread is this many times as quick, so that noise changes nothing."""
_AGAIN_S, _AGAIN_WHEN_BUSY_S = 10.0, 60.0
"""Between tries: 0.3 % of the time, and little more where each try is slow itself."""
_TRIES = 3
_LONGEST_S = 0.5
"""No more tries after one that took so long."""


def probe_s(threads: int) -> float:
    """Seconds of a small convolution and its gradients with so many threads; leaves as many set."""
    torch.set_num_threads(threads)
    picture = torch.ones(32, 32, 31, 31).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.ones(32, 32, 3, 3, requires_grad=True)
    spent: list[float] = []
    while len(spent) < _TRIES and (not spent or spent[-1] < _LONGEST_S):
        begin_s = time.perf_counter()
        torch.autograd.grad(F.conv2d(picture, weight).sum(), (picture, weight))
        spent.append(time.perf_counter() - begin_s)
    return median(spent)


class Threads:
    """Keeps PyTorch's number of threads right for as long as it is asked.

    Args:
        asked: the user's `--torch-threads`, else `--threads`; 0 leaves the choice here. A number given is kept.
        device: on a GPU there is nothing to choose.
        say: told in one line when the choice changes.
        probe: seconds of some work with so many threads.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        asked: int,
        device: torch.device,
        say: Callable[[str], None],
        probe: Callable[[int], float] = probe_s,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = asked or torch.get_num_threads()
        self._open = not asked and self._most > 1 and device.type == "cpu"
        self._say, self._probe, self._clock = say, probe, clock
        self.count = self._most
        torch.set_num_threads(self.count)
        self._due_s = self._clock()

    def check(self) -> None:
        """Tries all threads against one, if that is due again, and takes what is right now."""
        if not self._open or self._clock() < self._due_s:
            return
        together_s, alone_s = self._probe(self._most), self._probe(1)
        count = 1 if together_s > _BUSY * alone_s else self._most
        torch.set_num_threads(count)
        self._due_s = self._clock() + (_AGAIN_WHEN_BUSY_S if count == 1 else _AGAIN_S)
        if count == self.count:
            return
        self.count = count
        if count == 1:
            self._say(
                f"threads: 1 instead of {self._most}, other processes use the cores (a convolution took "
                f"{1e3 * together_s:.0f} ms with {self._most}, {1e3 * alone_s:.0f} with 1; "
                f"--torch-threads {self._most} insists)"
            )
        else:
            self._say(f"threads: {count} again, the cores are free")
