"""The house rules that a reader of the code relies on: import order, small rooms, nothing unsafe, frozen names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "unrolled"
FILES = sorted(PACKAGE.rglob("*.py"))

# Each may import those on earlier lines; those on one line don't import each other.
ORDER = [
    ["errors"],
    ["durable"],
    ["layout"],
    ["state"],
    ["mixer"],
    ["kernels"],
    ["mixers"],
    ["law"],
    ["model"],
    ["running"],
    ["tasks"],
    ["transfer"],  # gives what it loads its task
    ["training"],
    ["inspection"],  # looks at runs; the lessons look with it
    ["exports"],
    ["comparison", "estimators", "serving", "lessons"],
    ["page"],  # behind serving's gate
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
# Beside the ladder: what each may import, and from which rung on it may be imported.
ASIDE = {
    "config": ({"errors"}, "errors"),
    "datasets": ({"errors", "durable", "layout"}, "tasks"),
    "music": ({"errors", "durable"}, "tasks"),
    "report": ({"errors", "music"}, "training"),
}
LONGEST = 400  # lines; most files have 150 to 300


def names(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every absolute import, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "unrolled":
                yield from ((node.lineno, f"unrolled.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def violation(importer: str, imported: str) -> str | None:
    """Why one part of the house may not import another; None if it may."""
    if importer == imported or imported.startswith("__"):
        return None
    if importer in ASIDE:
        return (
            None
            if imported in ASIDE[importer][0]
            else f"{importer} imports only {sorted(ASIDE[importer][0])}"
        )
    if imported in ASIDE:
        first = ASIDE[imported][1]
        return None if RANK[importer] >= RANK[first] else f"{imported} may be imported from {first} on"
    assert imported in RANK, f"unrolled.{imported} has no place in ORDER or ASIDE"
    return None if RANK[importer] > RANK[imported] else f"{imported} comes later than, or beside, {importer}"


def broken(path: Path, source: str) -> list[str]:
    """Every import of a file that goes the wrong way."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if len(parts) == 1 and parts[0].startswith(
        "__"
    ):  # unrolled/__init__.py is the door, __main__.py the command
        return []
    assert parts[0] in RANK or parts[0] in ASIDE, f"unrolled/{parts[0]} has no place in ORDER or ASIDE"
    found = []
    for line, name in names(path, ast.parse(source)):
        if name.startswith("unrolled.") and (why := violation(parts[0], name.split(".")[1])):
            found.append(f"{path.relative_to(ROOT)}:{line}: {why}")
    return found


def test_imports_go_one_way() -> None:
    assert [problem for path in FILES for problem in broken(path, path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("layout.py", "from unrolled.model import Model"),
        ("state.py", "def f():\n    import unrolled.mixer"),
        ("mixers/linear.py", "from unrolled import law"),
        ("running/beam.py", "from unrolled.inspection.probe import Probe"),
        ("training/x.py", "from unrolled.cli.main import main"),
        ("model/x.py", "from unrolled.datasets import readers"),
        ("datasets/x.py", "import unrolled.state"),
        ("tasks/x.py", "from unrolled.report import page"),
        ("music/x.py", "from unrolled.layout import Layout"),
    ],
)
def test_an_import_the_wrong_way_is_found(file: str, source: str) -> None:
    assert len(broken(PACKAGE / file, source)) == 1


def test_only_declared_libraries_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [
        line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines
    ]
    declared = {re.split(r"[\[>=<~ ]", line)[0].lower() for line in project["dependencies"] + extras}
    # scikit-learn's base classes are taken where the user has it already; nothing needs it.
    known = set(sys.stdlib_module_names) | declared | {"unrolled", "sklearn"}
    known |= {
        module for package, module in {"pyyaml": "yaml", "pillow": "PIL"}.items() if package in declared
    }
    for path in FILES:
        for line, name in names(path, ast.parse(path.read_text("utf-8"))):
            assert name.split(".")[0] in known, (
                f"{path.relative_to(ROOT)}:{line}: {name} is not declared in pyproject"
            )


def test_the_command_line_is_light_at_the_top() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        tree.body = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        for line, name in names(path, tree):
            mine = name.split(".")[:2] in (["unrolled", part] for part in ("cli", "config", "errors"))
            assert mine or name.split(".")[0] in sys.stdlib_module_names, f"{path.name}:{line} imports {name}"


def test_rooms_are_small_and_named() -> None:
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= LONGEST, f"{path.name} is a hall, not a room"
        assert path.stem not in ("utils", "util", "helpers", "common", "misc"), f"{path} is a drawer"
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{path} does not say what it holds"


UNSAFE = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "import_module",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
}


def unsafe(source: str) -> list[str]:
    """Calls that run what a file says, and work that was left open."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in UNSAFE or name.rpartition(".")[2] in ("import_module", "unsafe_load"):
                found.append(f"{node.lineno}: {name}")
            if any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords):
                found.append(f"{node.lineno}: allow_pickle")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [
                f"{node.lineno}: {m}" for m in modules if m.split(".")[0] in ("pickle", "dill", "cloudpickle")
            ]
    found += [
        f"{n}: left open"
        for n, line in enumerate(source.splitlines(), 1)
        if re.search(r"#.*\b(TODO|FIXME|XXX)\b", line)
    ]
    return found


def test_nothing_unsafe_and_nothing_left_open() -> None:
    assert {p.name: found for p in FILES if (found := unsafe(p.read_text("utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(f)",
        "importlib.import_module(x)",
        "eval(x)",
        "np.load(f, allow_pickle=True)",
        "yaml.load(f, Loader)",
        "x = 1  # TODO later",
    ],
)
def test_what_is_unsafe_is_found(source: str) -> None:
    assert unsafe(source)


def test_no_path_of_one_machine_in_any_tracked_file() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name] or FILES
    here = (str(ROOT) + "/", str(Path.home()) + "/")
    for path in paths:
        if path.is_file():
            data = path.read_bytes()
            assert not any(place.encode() in data for place in here), (
                f"{path.name} names a place on this machine"
            )


# Frozen: a name that is here may not go away or change its meaning without a line in CHANGELOG.md.
NAMES = {
    *(
        "Layout",
        "MIXERS",
        "Mixer",
        "Model",
        "Run",
        "SequenceClassifier",
        "SequenceRegressor",
        "Stream",
        "build",
        "doctor",
        "evaluate",
        "generate",
        "law",
    ),
    *("load", "preset", "state", "train"),
}
VERBS = {"config", "data", "doctor", "evaluate", "generate", "runs", "train"}


def test_public_names_and_verbs_are_frozen() -> None:
    from unrolled.cli.table import VERBS as verbs

    assert set(unrolled.__all__) >= NAMES
    assert set(verbs) >= VERBS


def test_the_table_of_public_names_is_whole() -> None:
    assert sorted(unrolled.__all__) == sorted([*unrolled._HOMES, *unrolled._MODULES])
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    typed = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {
        a.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for a in node.names
    }
    assert seen == unrolled._HOMES | dict.fromkeys(unrolled._MODULES, "unrolled")


def test_every_name_resolves_and_no_submodule_shadows_a_verb() -> None:
    """In a fresh interpreter: import every submodule first, then look at what the public names are."""
    code = """
import pkgutil, unrolled
for found in pkgutil.walk_packages(unrolled.__path__, "unrolled."):
    if not found.name.endswith("__main__"):
        __import__(found.name)
from unrolled.cli.table import VERBS
for name in unrolled.__all__:
    value = getattr(unrolled, name)
    assert name not in VERBS or callable(value), f"un.{name} is {value!r}"
    assert name in unrolled._MODULES or type(value).__name__ != "module", name
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_unrolled_imports_no_torch() -> None:
    code = "import sys, unrolled; print(sorted({'torch', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        unrolled.trian  # noqa: B018
    assert set(unrolled.__all__) <= set(dir(unrolled))


def test_shapes_are_checked_under_pytest() -> None:
    import jaxtyping
    import torch

    from unrolled.layout import Layout

    with pytest.raises(jaxtyping.TypeCheckError, match="lengths"):
        Layout.of_lengths(torch.ones(2, 3, dtype=torch.int64))  # (batch,) is wanted
