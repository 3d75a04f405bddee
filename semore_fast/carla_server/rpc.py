"""Remote calls: msgpack-rpc over TCP. Every request is answered, errors in the slot where the client looks for them."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import msgpack

from semore_fast.carla_server import values
from semore_fast.carla_server.faults import Faults, Outcome

_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2
_LARGEST_REQUEST_BYTES = 64 << 20
_UNREAD_BYTES = 64 << 20
"""A client that leaves this much of its answers unread is disconnected."""

Answer = Callable[..., Any]
_BAD_ARGUMENTS = (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError)


class Method:
    """One remote call: the function that answers it, and the shape of its answer."""

    __slots__ = ("fail", "function", "pack", "succeed")

    def __init__(self, function: Answer, kind: str, doubles: bool):
        self.function = function
        self.pack: Callable[[Any], bytes] = values.pack_double if doubles else values.pack_single
        self.succeed: Callable[[Any], Any] = {
            "value": values.answer,
            "done": lambda _: values.DONE,
            "plain": lambda value: value,
        }[kind]
        self.fail = values.not_done if kind == "done" else values.failed


class Methods(dict[str, Method]):
    """Remote calls by name; functions are added with a decorator."""

    def value(self, *, doubles: bool = False) -> Callable[[Answer], Answer]:
        """The answer is what the function returns."""
        return lambda function: self._add(function, "value", doubles)

    def done(self) -> Callable[[Answer], Answer]:
        """The answer says only that it was done."""
        return lambda function: self._add(function, "done", False)

    def plain(self) -> Callable[[Answer], Answer]:
        """The answer is what the function returns, without a place for an error."""
        return lambda function: self._add(function, "plain", False)

    def _add(self, function: Answer, kind: str, doubles: bool) -> Answer:
        self[function.__name__] = Method(function, kind, doubles)
        return function


class Target(Protocol):
    """What the calls act upon."""

    faults: Faults
    calls: Methods
    connections: set[RpcConnection]

    def sense(self) -> None:
        """Called after every answer."""


class RpcConnection(asyncio.Protocol):
    """One client's connection for calls."""

    def __init__(self, target: Target):
        self._target = target
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="replace", max_buffer_size=_LARGEST_REQUEST_BYTES
        )
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._target.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._transport = None
        self._target.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio. What is not msgpack-rpc closes the connection: nothing after it could be found again."""
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                self._take(message)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            print(f"carla_server: connection closed, not msgpack-rpc: {error}", file=sys.stderr)
            self.close()

    def close(self) -> None:
        """Cuts the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """Writes, unless the client is gone or has stopped reading."""
        if self._transport is None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _UNREAD_BYTES:
            self.close()

    def _take(self, message: Any) -> None:
        if isinstance(message, list) and len(message) == 4 and message[0] == _REQUEST:
            _, number, name, arguments = message
        elif isinstance(message, list) and len(message) == 3 and message[0] == _NOTIFICATION:
            number, (_, name, arguments) = None, message
        else:
            raise ValueError(f"a request is [0, id, name, arguments], got {str(message)[:80]}")
        faults = self._target.faults
        if faults.calls_at_risk and not name.startswith("semore."):
            self._take_with_fault(faults.for_call(name), number, name, arguments)
        else:
            self._reply(number, self.respond(number, name, arguments))
            self._target.sense()

    def _take_with_fault(self, outcome: Outcome, number: int | None, name: str, arguments: Any) -> None:
        def later() -> None:
            if not outcome.runs:
                if outcome.error is not None:
                    self._reply(number, _pack_error(number, outcome.error))
            else:
                response = self.respond(number, name, arguments)
                if outcome.answers:
                    self._reply(number, response)
                self._target.sense()
            if outcome.bytes_instead:
                self.send(outcome.bytes_instead)
            if outcome.closes:
                self.close()

        if outcome.delay_s > 0:
            asyncio.get_running_loop().call_later(outcome.delay_s, later)
        else:
            later()

    def _reply(self, number: int | None, response: bytes) -> None:
        if number is not None:
            self.send(response)

    def respond(self, number: int | None, name: str, arguments: Any) -> bytes:
        """Runs a call and packs its answer; the first argument is metadata, which no call needs."""
        method = self._target.calls.get(name)
        if method is None:
            return _pack_error(number, f"semore_fast.carla_server has no call {name!r}: see docs/carla_server.md")
        try:
            result = method.succeed(method.function(self._target, *arguments[1:]))
        except values.RefusedError as refusal:
            result = method.fail(str(refusal))
        except _BAD_ARGUMENTS as error:
            traceback.print_exc()
            result = method.fail(f"{name}: {type(error).__name__}: {error}")
        return bytes(method.pack([_RESPONSE, number, None, result]))


def _pack_error(number: int | None, message: str) -> bytes:
    return bytes(values.pack_single([_RESPONSE, number, message, None]))
