"""The option that tests and benchmarks share."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Backends to hold to the definitions in `semore.ops`, and to time against them."""
    parser.addoption(
        "--kernels",
        type=lambda names: tuple(names.split(",")),
        default=("cpp", "examples.my_ops"),
        metavar="NAMES",
        help="backends for tests/test_twins.py, tests/test_swap.py and bench/bench_ops.py: cpp, triton, or a module of "
        "your own; separated by commas",
    )
