"""One environment that survives its server: calls with deadlines, new stations after failures, planned recycling.

Nothing here waits for ever. A failure ends the episode it happens in and nothing else: the caller is told that the
episode was interrupted, and the next `reset` finds a new station, which is being made meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from semore_fast.envs.carla.limits import Counters, Limits
from semore_fast.envs.carla.process import Failure
from semore_fast.envs.carla.rows import Row, read_row
from semore_fast.envs.carla.station import Station, Stations
from semore_fast.envs.carla.wire import Arrays
from semore_fast.errors import UserError

__all__ = ["SupervisedDrive"]

_FIRST_WAIT_S = 10.0
"""For a server of somebody else to accept the very first connection: it should have been started before."""


class SupervisedDrive:
    """One row of a vector environment. Its methods are called by one thread at a time.

    Several environments may share it in turn (training and evaluation): whoever resets it has it, and for the others
    their episode is interrupted.

    Args:
        stations: makes what it drives on.
        limits: deadlines and limits of patience.
        counters: of the run.
        pool: whose threads start processes; must live until `close` has returned.
        shapes: of everything that an answer must hold by name, () for plain numbers; any other answer is unusable.
        say: where to tell what happened, one line each.
    """

    def __init__(
        self,
        stations: Stations,
        limits: Limits,
        counters: Counters,
        pool: Executor,
        shapes: Mapping[str, tuple[int, ...]],
        say: Callable[[str], None],
    ) -> None:
        self._stations, self._limits, self._counters = stations, limits, counters
        self._pool, self._shapes, self._say = pool, dict(shapes), say
        self._station: Station | None = None
        self._renewal: Future[Station] | None = None
        self._spare: Future[Station] | None = None
        self._retiring: list[Future[Failure | None]] = []
        self._driver: object = None
        self._failures = 0
        self._last: Failure | None = None
        self._asked = False
        self._counted: dict[str, int] = {}  # by drives of earlier stations
        self._counting: dict[str, int] = {}

    @property
    def station(self) -> Station | None:
        """What it drives on now; None while a new one is being made."""
        return self._station

    def drive_counts(self) -> dict[str, int]:
        """What the drives counted themselves, in whole episodes."""
        names = {**self._counted, **self._counting}
        return {name: self._counted.get(name, 0) + self._counting.get(name, 0) for name in names}

    def start(self) -> None:
        """Make the first station.

        Raises:
            UserError: one line that says what is missing.
        """
        wait_s = None if self._stations.servers.several else min(_FIRST_WAIT_S, self._limits.connect_s)
        while True:
            try:
                self._station = self._stations.make(wait_s=wait_s)
            except Failure as failure:
                self._count(failure)
                hopeless = failure.fault == "refused" or not self._stations.servers.several
                if hopeless or self._failures >= self._limits.first_failures or self._stations.stopping.is_set():
                    raise UserError(f"--sim carla: {failure}{self._advice(failure)}") from failure
                self._say(f"{failure}; trying again")
            else:
                self._failures = 0
                return

    def reset(self, seed: int, driver: object) -> Row:
        """Start an episode for `driver`, on a new station where the old one failed or is due for recycling.

        Raises:
            UserError: too many failures in a row.
        """
        if self._driver is not None and self._driver is not driver:
            self._counters.add("borrowed_episodes")
        self._driver = None
        while True:
            station = self._ready()
            try:
                answer, arrays = station.worker.call("reset", "the episode's start", self._limits.reset_s, seed=seed)
                row = self._read(answer, arrays)
            except Failure as failure:
                self._broke(failure)
                continue
            station.episodes += 1
            if station.first_memory_bytes is None and self._limits.recycle_growth_bytes:
                station.first_memory_bytes = station.server.memory_bytes()
            self._driver = driver
            self._prepare_spare(station)
            return row

    def begin_step(self, steer: float, drive: float, driver: object) -> None:
        """Set the car going; `finish_step` waits for it."""
        self._asked = self._driver is driver and self._station is not None
        if self._station is None or not self._asked:
            return
        try:
            self._station.worker.begin("step", "a step", self._limits.step_s, action=[steer, drive])
        except Failure as failure:
            self._interrupted(failure)

    def finish_step(self) -> Row | None:
        """The step's result; None where the episode was interrupted, before this step or in it."""
        if self._station is None or not self._asked:
            return None
        self._asked = False
        try:
            row = self._read(*self._station.worker.finish())
        except Failure as failure:
            self._interrupted(failure)
            return None
        if row.terminated or row.truncated:
            self._failures = 0
            self._driver = None
        return row

    def release(self, driver: object) -> None:
        """`driver` is done with its episode; another one may have the drive."""
        if self._driver is driver:
            self._driver = None

    def break_off(self) -> None:
        """Make no more stations; call `close` next."""
        self._stations.break_off()

    def close(self) -> None:
        """End every process. Station and server are left as they were found, as far as they still answer."""
        self.break_off()
        for making in (self._renewal, self._spare):
            if making is not None and not making.cancel() and making.exception() is None:
                making.result().retire(self._limits.close_s)
        if self._station is not None:
            self._station.retire(self._limits.close_s)
        for retiring in self._retiring:
            retiring.result()
        self._station = self._renewal = self._spare = None

    def _advice(self, failure: Failure) -> str:
        """What to do about a first start that failed, where the failure does not say it."""
        if failure.fault == "refused" or self._stations.servers.several:
            return ""
        return "; start a server there first, or let --carla-root start one"

    def _ready(self) -> Station:
        if self._station is None:
            self._bank_counts()
            renewal, self._renewal = self._renewal, None
            self._station = self._pool.submit(self._renew).result() if renewal is None else renewal.result()
        elif self._due(self._station):
            self._station = self._recycle(self._station)
        return self._station

    def _bank_counts(self) -> None:
        """The next drive counts from 0."""
        self._counted, self._counting = self.drive_counts(), {}

    def _renew(self) -> Station:
        """Tries until there is a station again, more and more slowly."""
        while True:
            if self._failures >= self._limits.max_failures:
                raise UserError(
                    f"--sim carla: {self._stations.name} failed {self._failures} times without one whole episode, "
                    f"last: {self._last}; see to the server, then give the same command to resume (or raise "
                    "--carla-max-failures)"
                )
            if self._stations.stopping.wait(self._limits.pause_s(self._failures)):
                raise Failure("lost", "closing")
            try:
                station = self._stations.make()
            except Failure as failure:
                if self._stations.stopping.is_set():
                    raise
                self._count(failure)
                self._say(f"{failure} (failure {self._failures} of at most {self._limits.max_failures})")
            else:
                self._counters.add("restarts")
                self._counters.add("server_restarts", int(self._stations.servers.several))
                return station

    def _interrupted(self, failure: Failure) -> None:
        self._counters.add("interrupted_episodes")
        self._counters.add("steps_lost")
        self._driver = None
        self._broke(failure)

    def _broke(self, failure: Failure) -> None:
        """Lets go of a station that failed, its server too (whose fault it was is unknown), and has a new one made."""
        station, self._station = self._station, None
        assert station is not None
        if failure.fault in ("lost", "refused"):
            station.worker.close(self._limits.close_s)  # the drive still answers: let it tidy up
        station.worker.kill()
        station.server.stop(kindly=False)
        self._count(failure)
        self._say(f"{failure}; starting anew (failure {self._failures} of at most {self._limits.max_failures})")
        self._renewal = self._pool.submit(self._renew)

    def _count(self, failure: Failure) -> None:
        self._failures += 1
        self._last = failure
        self._counters.add("timeouts" if failure.fault == "timeout" else "crashes")

    def _due(self, station: Station) -> bool:
        limits = self._limits
        if limits.recycle_episodes and station.episodes >= limits.recycle_episodes:
            return True
        return bool(limits.recycle_growth_bytes) and station.growth_bytes() > limits.recycle_growth_bytes

    def _prepare_spare(self, station: Station) -> None:
        """Has the next station made during the last episode on this one, where two servers can run at a time."""
        last = self._limits.recycle_episodes and station.episodes >= self._limits.recycle_episodes
        if last and self._spare is None and self._stations.servers.several:
            self._spare = self._pool.submit(self._stations.make)

    def _recycle(self, old: Station) -> Station:
        spare, self._spare = self._spare, None
        if not self._stations.servers.several:
            old.retire(self._limits.close_s)
            self._station = None
        try:
            station = (spare or self._pool.submit(self._stations.make)).result()
        except Failure as failure:
            self._count(failure)
            self._say(f"recycling: {failure}")
            old.episodes, old.first_memory_bytes = 0, None  # it works still: try again after as many episodes
            return old if self._station is not None else self._pool.submit(self._renew).result()
        self._counters.add("recycled")
        self._bank_counts()
        if self._station is not None:
            self._retiring = [one for one in self._retiring if not one.done()]
            self._retiring.append(self._pool.submit(old.retire, self._limits.close_s))
        return station

    def _read(self, answer: dict[str, Any], arrays: Arrays) -> Row:
        row = read_row(self._stations.name, answer, arrays, self._shapes)
        self._counting = row.counters or self._counting
        return row
