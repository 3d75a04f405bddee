"""Train an agent from pixels: `python -m semore_fast.train --scenario jw`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from semore_fast.allocator import FLAG_OFF, reexec_with_tuned_allocator
from semore_fast.cli import PRINT_CONFIG, parse_run
from semore_fast.config import to_dict
from semore_fast.errors import run_cli

DESCRIPTION = f"""Train an agent from pixels on a driving scenario.

Ctrl-C saves and exits; the same command again resumes.

Also: {PRINT_CONFIG} prints the whole configuration and exits; {FLAG_OFF} leaves the C allocator at its defaults."""


def main(argv: Sequence[str]) -> int:
    """Reads the flags, then hands over to the session."""
    allocator = reexec_with_tuned_allocator(argv)
    config, reason = parse_run(argv, DESCRIPTION)
    if PRINT_CONFIG in argv:
        print(json.dumps(to_dict(config), indent=2))
        return 0
    print(f"semore-fast: {reason}; allocator: {allocator}", flush=True)
    from semore_fast.session import run_session  # torch takes seconds: only now

    return run_session(config)


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
