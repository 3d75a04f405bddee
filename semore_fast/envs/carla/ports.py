"""Free TCP ports for servers started here: P for calls, P+1 and P+2 for streams, and one for a traffic manager."""

from __future__ import annotations

import random
import socket
import threading
from dataclasses import dataclass

__all__ = ["Ports", "PortsOf", "is_free"]

_FIRST, _LAST = 20_000, 32_000  # below the range from which systems take ports for outgoing connections
_SPAN = 4
_TRIES = 200


@dataclass(frozen=True, slots=True)
class PortsOf:
    """The ports of one server and of its client's traffic manager."""

    server: int
    """P; P+1 and P+2 are the server's as well."""
    traffic_manager: int


class Ports:
    """Hands out ports that nobody listens on, no port twice while it is held. Safe to use from several threads.

    A port can still be taken by another process before its server binds it. The server then fails to start, and is
    started anew on other ports.
    """

    def __init__(self) -> None:
        self._random = random.Random()
        self._held: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> PortsOf:
        """Four free ports in a row. OSError if none were found."""
        with self._lock:
            for _ in range(_TRIES):
                base = self._random.randrange(_FIRST, _LAST, _SPAN)
                if base not in self._held and all(is_free(base + offset) for offset in range(_SPAN)):
                    self._held.add(base)
                    return PortsOf(base, base + _SPAN - 1)
        raise OSError(f"no {_SPAN} free ports in a row between {_FIRST} and {_LAST}")

    def give_back(self, ports: PortsOf) -> None:
        """Let others have them."""
        with self._lock:
            self._held.discard(ports.server)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of every interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
