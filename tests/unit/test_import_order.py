"""Imports inside the package point one way. Read from the sources, so that a lazy import counts too."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "banledger"
ORDER = (
    "errors",
    "clock",
    "settings",
    "zstd",
    "net",
    "geo",
    "spool",
    "stores",
    "ledger",
    "whois",
    "importer",
    "report",
    "service",
    "demo",
    "setup",
    "doctor",
    "cli",
    "__main__",
)
"""Packages and loose modules; each may import what stands before it."""
ALONE = {"action"}  # a file for fail2ban's interpreter: imports nothing of ours
FREE = {"", "errors"}  # the package's version, and what everybody raises


class Import(NamedTuple):
    """One import of ours: `where` is file:line, the modules are dotted names below `banledger`."""

    importer: str
    imported: str
    where: str


def module_name(path: Path, root: Path) -> str:
    """`stores/api.py` is `stores.api`, `stores/__init__.py` is `stores`."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path) -> dict[str, Path]:
    return {module_name(path, root): path for path in sorted(root.rglob("*.py"))}


def imports(root: Path) -> list[Import]:
    """Every import of ours by one of ours, wherever in the file it stands."""
    known = modules(root)
    found = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, name, is_package=path.name == "__init__.py"):
                where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
                found.append(Import(name, _nearest(target, known), where))
    return found


def _targets(node: ast.AST, importer: str, *, is_package: bool) -> Iterator[str]:
    """The dotted names below `banledger` that a statement asks for; they may end in a class or function."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.partition(".")[0] == "banledger":
                yield alias.name.partition(".")[2]
    elif isinstance(node, ast.ImportFrom):
        base = (node.module or "").split(".") if node.module else []
        if node.level:
            home = importer.split(".") if importer else []
            up = node.level - is_package
            base = ["banledger", *home[: len(home) - up], *base]
        if base[:1] == ["banledger"]:
            for alias in node.names:
                yield ".".join([*base[1:], alias.name])


def _nearest(target: str, known: dict[str, Path]) -> str:
    while target and target not in known:
        target = target.rpartition(".")[0]
    return target


def layer(module: str) -> int:
    return ORDER.index(module.partition(".")[0])


def violations(root: Path) -> list[str]:
    """What breaks the order, in words."""
    wrong = []
    for importer, imported, where in imports(root):
        first, second = importer.partition(".")[0], imported.partition(".")[0]
        if first == second or (imported in FREE and first not in ALONE and first not in FREE):
            continue
        if first in ALONE or first in FREE:
            wrong.append(f"{where}: {importer or 'the package'} may import nothing of ours, not {imported}")
        elif second in ALONE:
            wrong.append(f"{where}: {imported} is read as a file, never imported")
        elif layer(imported) > layer(importer):
            wrong.append(f"{where}: {importer} imports {imported}, which is above it")
    return wrong


def test_every_module_is_in_the_import_order() -> None:
    placed = {*ORDER} | ALONE | FREE

    strangers = {module.partition(".")[0] for module in modules(SOURCE)} - placed

    assert not strangers, f"give these a layer in {Path(__file__).name}: {sorted(strangers)}"


def test_imports_point_one_way() -> None:
    assert not (wrong := violations(SOURCE)), "\n" + "\n".join(wrong)


def test_only_the_command_line_imports_the_command_line() -> None:
    outsiders = [i for i in imports(SOURCE) if i.imported.startswith("cli") and layer(i.importer) < layer("cli")]

    assert outsiders == []


def test_there_is_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for one in imports(SOURCE):
        if one.importer != one.imported:
            graph.setdefault(one.importer, set()).add(one.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + " -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("stores/api.py", "from banledger.report.query import Query"),
        ("ledger/keys.py", "def f():\n    from banledger.whois import cache"),
        ("service/recorder.py", "import banledger.cli.record"),
        ("errors.py", "from banledger.spool.events import Event"),
        ("action/banledger.py", "from banledger.errors import BanledgerError"),
        ("spool/reader.py", "from ..cli import record"),
        ("stores/sqlite/reader.py", "from ...ledger.keys import Keyspace"),
        ("cli/record.py", "from banledger.action import banledger"),
    ],
)
def test_a_wrong_import_is_found_and_named(tmp_path: Path, path: str, text: str) -> None:
    for name in {module.replace(".", "/") for module in modules(SOURCE)}:
        if (SOURCE / name).is_dir():
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "__init__.py").touch()
    for name in (
        "errors",
        "action/banledger",
        "cli/record",
        "whois/cache",
        "ledger/keys",
        "report/query",
        "spool/events",
    ):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / path).write_text(text)

    (wrong,) = violations(tmp_path)

    assert wrong.startswith(f"{path}:")
