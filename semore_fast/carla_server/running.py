"""How the package's programs run and end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any


def run_until_asked(work: Coroutine[Any, Any, None]) -> None:
    """Runs until SIGINT or SIGTERM, then lets `work` tidy up and returns.

    A shell starts what it puts in the background from a script with SIGINT ignored, and Python then leaves it so.
    """

    async def watched() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work

    asyncio.run(watched())
