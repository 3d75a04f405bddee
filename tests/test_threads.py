"""All cores, unless others use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from semore_fast.threads import Threads, probe_s

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Seconds of the probe by number of threads."""

    def __init__(self) -> None:
        self.seconds = {4: 0.25, 1: 1.0}
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def probe(self, threads: int) -> float:
        torch.set_num_threads(threads)
        return self.seconds[threads]


def test_threads_follow_what_is_quick() -> None:
    machine, said = Machine(), []
    threads = Threads(0, CPU, said.append, machine.probe, machine.clock)
    threads.check()
    machine.seconds[4] = 9.0
    threads.check()  # not due yet
    assert (threads.count, torch.get_num_threads(), said) == (4, 4, [])
    machine.seconds[4] = 1.9  # slower than one thread, but not by much: noise
    machine.now_s += 10
    threads.check()
    assert (threads.count, torch.get_num_threads(), said) == (4, 4, [])
    machine.seconds[4] = 5.0
    for wait_s in (10, 60):
        machine.now_s += wait_s
        threads.check()
        assert (threads.count, torch.get_num_threads()) == (1, 1)
    assert said == [
        "threads: 1 instead of 4, other processes use the cores (a convolution took 5000 ms with 4, 1000 with 1; "
        "--torch-threads 4 insists)"
    ]
    machine.seconds[4] = 0.3
    machine.now_s += 60
    threads.check()
    assert (threads.count, torch.get_num_threads()) == (4, 4)
    assert said[1:] == ["threads: 4 again, the cores are free"]


@pytest.mark.parametrize(("asked", "device"), [(3, "cpu"), (0, "cuda")])
def test_a_number_given_or_a_gpu_leaves_nothing_to_choose(asked: int, device: str) -> None:
    def never(threads: int) -> float:
        raise AssertionError(threads)

    threads = Threads(asked, torch.device(device), print, never)
    threads.check()
    assert threads.count == torch.get_num_threads() == (asked or 4)


def test_the_probe_takes_a_while_and_sets_what_it_is_told() -> None:
    assert 0 < probe_s(2) < 60
    assert torch.get_num_threads() == 2
