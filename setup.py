"""Builds semore_fast._C: the C++ replay buffer and driving simulator. Everything else is in pyproject.toml."""

from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("SEMORE_BUILD_JOBS", default=0).install()

extension = Pybind11Extension(
    "semore_fast._C",
    sorted(glob("csrc/bindings/*.cpp") + glob("csrc/driving/*.cpp")),
    depends=sorted(glob("csrc/**/*.hpp", recursive=True)),
    include_dirs=["csrc"],
    cxx_std=17,
    # No -march: a wheel moves between machines, and hot code picks its instruction set at run time. No fused
    # multiply-adds: frames shall not depend on what the processor has; csrc/trunk fuses where it may.
    extra_compile_args=["-O3", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
)

setup(ext_modules=[extension], cmdclass={"build_ext": build_ext})
