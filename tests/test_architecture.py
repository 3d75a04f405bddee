"""The design as a test: who may import whom, what is loaded when, and how large things may grow."""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sorted(p for folder in ("semore", "semore_fast", "kernels") for p in (ROOT / folder).rglob("*.py"))
PYTHON = [p for p in PYTHON if "semore_fast/kernels" not in p.as_posix()]
SCRIPTS = [*(p for folder in ("bench", "examples") for p in sorted((ROOT / folder).rglob("*.py"))), ROOT / "setup.py"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
NATIVE = sorted(p for kind in ("*.hpp", "*.cpp") for p in (ROOT / "csrc").rglob(kind))

# What each part of `semore` may use of the others; `semore` is what the method is, so it knows nothing of its twins.
MAY_USE = {
    "config": set(),
    "ops": set(),
    "batch": {"ops"},
    "networks": {"ops"},
    "critic": {"config", "networks"},
    "mean_picture": set(),
    "optimisers": set(),
    "temperature": {"config"},
    "losses": {"config"},
    "representations": {"batch", "config", "losses", "networks", "ops"},
    "agents": {
        "batch",
        "config",
        "critic",
        "mean_picture",
        "networks",
        "ops",
        "optimisers",
        "representations",
        "temperature",
    },
    "replay_types": set(),
    "replay_checks": {"replay_types"},
    "replay": {"replay_checks", "replay_types"},
    "guidance": set(),
    "admission": {"guidance"},
}
OUTSIDE = {
    "semore": {"numpy", "torch", "semore"},
    "kernels": {"torch", "triton", "kernels"},
}
LAZY_OUTSIDE = {"semore/guidance": {"transformers", "PIL"}}
"""Heavy packages that may be imported inside a function, and where."""

MAX_FILE_LINES, MAX_MEDIAN_LINES, MAX_FUNCTION_LINES = 300, 150, 60
LONGER: dict[str, str] = {
    "csrc/tests/test_camera.cpp": "one list of checks over shared scenes",
    "csrc/tests/world_parts_tests.hpp": "one list of checks of the world's parts",
}
"""Files over the limit, with the reason."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=name(path))


def imported(node: ast.AST, path: Path) -> Iterator[str]:
    """Full names of the modules an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parent = path.parents[node.level - 1].relative_to(ROOT).as_posix().replace("/", ".")
        yield f"{parent}.{node.module}" if node.module else parent


def imports(path: Path, lazy: bool | None = None) -> set[str]:
    """Modules a file imports: all, those inside functions (lazy), or those outside (not lazy)."""
    module = tree(path)
    functions = [n for n in ast.walk(module) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(n) for function in functions for n in ast.walk(function)}
    nodes = (n for n in ast.walk(module) if lazy is None or (id(n) in inside) == lazy)
    return {module for node in nodes for module in imported(node, path)}


def tops(modules: set[str]) -> set[str]:
    return {m.split(".")[0] for m in modules} - set(sys.stdlib_module_names)


def of(package: str) -> list[Path]:
    return [p for p in PYTHON if name(p).startswith(f"{package}/")]


def test_the_sources_are_found():
    assert len(of("semore")) > 15
    assert len(of("semore_fast")) > 10
    assert len(NATIVE) > 20


# arrows


@pytest.mark.parametrize("package", OUTSIDE)
def test_packages_import_only_what_they_may(package):
    for path in of(package):
        assert tops(imports(path, lazy=False)) <= OUTSIDE[package], name(path)
        lazily = set().union(*(v for k, v in LAZY_OUTSIDE.items() if name(path).startswith(k)))
        assert tops(imports(path, lazy=True)) <= OUTSIDE[package] | lazily, name(path)


def part_of(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "semore" and len(pieces) > 1 else None


def test_every_part_of_semore_has_its_arrows():
    parts = {p.relative_to(ROOT / "semore").parts[0].removesuffix(".py") for p in of("semore")}
    assert parts - {"__init__"} == set(MAY_USE)


def test_semore_s_parts_use_only_those_below_them():
    for path in of("semore"):
        part = path.relative_to(ROOT / "semore").parts[0].removesuffix(".py")
        used = {part_of(m) for m in imports(path)} - {None, part}
        assert used <= MAY_USE.get(part, set()), f"{name(path)} uses {used}"


def test_the_arrows_have_no_cycle():
    order: list[str] = []
    while len(order) < len(MAY_USE):
        ready = [part for part in MAY_USE if part not in order and MAY_USE[part] <= set(order)]
        assert ready, f"cycle among {set(MAY_USE) - set(order)}"
        order += ready


def test_product_code_imports_no_tests_or_benchmarks():
    for path in PYTHON:
        assert not tops(imports(path)) & {"tests", "bench", "pytest", "small"}, name(path)


def test_triton_is_named_in_kernels_alone_or_lazily():
    for path in of("semore_fast"):
        assert "triton" not in tops(imports(path, lazy=False)), name(path)


def test_kernels_are_a_plain_folder_linked_into_semore_fast():
    link = ROOT / "semore_fast" / "kernels"
    assert link.is_symlink()
    assert link.resolve() == (ROOT / "kernels").resolve()
    assert not link.readlink().is_absolute()
    # A package of that name at the root would shadow PyPI's `kernels`, which transformers looks for.
    assert not (ROOT / "kernels" / "__init__.py").exists()


INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def test_csrc_is_the_standard_library_and_pybind11_in_its_bindings():
    for path in NATIVE:
        included = INCLUDE.findall(path.read_text())
        binding = name(path).startswith("csrc/bindings/")
        for header in included:
            assert not header.startswith(("torch/", "ATen/", "c10/", "caffe2/", "cuda")), f"{name(path)}: {header}"
            assert binding or not header.startswith(("pybind11/", "Python.h", "numpy/")), f"{name(path)}: {header}"
            assert binding or not header.startswith("bindings/"), f"{name(path)}: {header}"


# what is loaded when


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_semore_loads_no_twin_and_no_heavy_package():
    modules = ", ".join(sorted(f"semore.{part}" for part in MAY_USE))
    loaded = loaded_by(f"import semore, {modules}")
    assert "semore.agents.sac" in loaded
    assert not loaded & {"triton", "transformers", "semore_fast", "semore_fast._C", "PIL", "gymnasium"}


def test_the_settings_load_no_torch():
    """The command line reads them before it knows whether there is anything to do."""
    assert "torch" not in loaded_by("import semore.config")


# habits


def broad(handler: ast.expr | None) -> bool:
    kinds = handler.elts if isinstance(handler, ast.Tuple) else [handler]
    return any(k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException")) for k in kinds)


def swallows(node: ast.AST) -> bool:
    """Whether a statement catches everything and does not raise it again at its end."""
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        return broad(node.type) and not (isinstance(last, ast.Raise) and last.exc is None)
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress") and any(map(broad, node.args))


def test_no_exception_is_caught_broadly():
    files = [*PYTHON, *SCRIPTS, *TESTS]
    assert [f"{name(p)}:{n.lineno}" for p in files for n in ast.walk(tree(p)) if swallows(n)] == []


FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "pickle.loads"}
UNPICKLES = ROOT / "semore_fast/guidance/unpickle_cris.py"
"""The one script that opens a pickle, in a process of its own; held to its terms below."""


def test_nothing_is_pickled_or_evaluated():
    for path in {*PYTHON, *SCRIPTS} - {UNPICKLES}:
        assert not {m.split(".")[0] for m in imports(path)} & FORBIDDEN_MODULES, name(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in FORBIDDEN_CALLS, f"{name(path)}:{node.lineno}"
                allowing = [k for k in node.keywords if k.arg == "allow_pickle"]
                assert all(ast.unparse(k.value) == "False" for k in allowing), f"{name(path)}:{node.lineno}"


def test_the_script_that_opens_pickles_takes_plain_data_only_and_is_never_imported():
    assert {m for m in imports(UNPICKLES) if m.startswith("pickle")} == {"pickle", "pickle.UnpicklingError"}
    calls = [n for n in ast.walk(tree(UNPICKLES)) if isinstance(n, ast.Call)]
    forbidden = [n for n in calls if ast.unparse(n.func) in FORBIDDEN_CALLS]
    assert [ast.unparse(n.func) for n in forbidden] == ["torch.load"]
    assert "weights_only=True" in [ast.unparse(k) for k in forbidden[0].keywords]
    assert not any("unpickle_cris" in module for path in PYTHON for module in imports(path))


def test_the_method_reads_no_environment_variable():
    for path in [*of("semore"), *of("kernels")]:
        assert not re.search(r"\bos\.(environ|getenv)\b", path.read_text()), name(path)


def test_no_star_imports_and_no_loose_ends():
    for path in [*PYTHON, *SCRIPTS, *TESTS, *NATIVE]:
        if path != Path(__file__):
            found = re.search(r"\b(TODO|FIXME|XXX)\b|^from \S+ import \*", path.read_text(), re.MULTILINE)
            assert not found, f"{name(path)}: {found.group() if found else ''}"


# size


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_stay_small():
    sizes = {name(p): lines(p) for p in [*PYTHON, *SCRIPTS, *NATIVE]}
    long = {path for path, count in sizes.items() if count > MAX_FILE_LINES}
    assert long == set(LONGER)
    assert statistics.median(sizes.values()) <= MAX_MEDIAN_LINES


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    text = ast.get_docstring(function, clean=False)
    return length - (len(text.splitlines()) if text else 0)


def test_functions_stay_short():
    long = [
        f"{name(path)}: {node.name} has {body_lines(node)} lines"
        for path in [*PYTHON, *SCRIPTS]
        for node in ast.walk(tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and body_lines(node) > MAX_FUNCTION_LINES
    ]
    assert long == []
