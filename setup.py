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
    # No -march: a wheel moves between machines. Hot code picks its instruction set at run time.
    extra_compile_args=["-O3", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
)

setup(ext_modules=[extension], cmdclass={"build_ext": build_ext})
