"""One word, one thing: what a machine can check of it."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "banledger"


def _named_type(node: ast.stmt) -> str:
    """The name of a class, or of a type that a module gives to others; empty: it is neither."""
    if isinstance(node, ast.ClassDef):
        return node.name
    alias = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
    name = ast.unparse(node.target) if alias and isinstance(node, ast.AnnAssign) else ""
    return "" if name.startswith("_") else name


def test_no_name_of_a_type_stands_in_two_modules() -> None:
    where = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if name := _named_type(node):
                where[name].append(str(path.relative_to(SOURCE)))

    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(
    ("subject", "fine"),
    [
        ("spool: count lines of a removed segment", True),
        ("whois/rdap: follow one redirect", True),
        ("Merge branch 'main'", True),
        ("count lines", False),
        ("Spool: count lines", False),
        ("spool:count lines", False),
        ("spool: " + "x" * 66, False),
    ],
)
def test_a_commit_subject_names_its_area_and_is_short(tmp_path: Path, subject: str, fine: bool) -> None:
    message = tmp_path / "message"
    message.write_text(f"# a comment\n{subject}\n\nwhy\n")

    done = subprocess.run([ROOT / "tools/commit-msg", message], capture_output=True, text=True)

    assert (done.returncode == 0) == fine, done.stderr
    assert bool(done.stderr) != fine
