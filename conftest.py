"""The options that tests and benchmarks share."""

import sys
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Backends to hold to the definitions in `semore.ops` and to time against them; a real CARLA server."""
    parser.addoption(
        "--kernels",
        type=lambda names: tuple(names.split(",")),
        default=("cpp", "examples.my_ops"),
        metavar="NAMES",
        help="backends for tests/test_twins.py, tests/test_swap.py and bench/bench_ops.py: cpp, triton, or a module of "
        "your own; separated by commas",
    )
    parser.addoption(
        "--carla-python",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter that has the official carla client for tests/test_carla_server.py: 0.9.13 to 0.9.15 need an "
        "older Python than this one",
    )
    parser.addoption(
        "--carla-live",
        metavar="HOST:PORT",
        help="a real CARLA server, which tests/test_carla_live.py compares with our tables; it only looks",
    )
    parser.addoption(
        "--carla-trace",
        type=Path,
        metavar="FILE",
        help="a recording of semore_fast.carla_server.record, which tests/test_carla_live.py compares with our tables",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a real server are skipped without one."""
    if not config.getoption("--carla-live"):
        for item in items:
            if item.get_closest_marker("carla_live"):
                item.add_marker(pytest.mark.skip(reason="needs --carla-live HOST:PORT"))
