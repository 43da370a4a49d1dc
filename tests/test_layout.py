"""The shape of the house: who may import whom, and that every file has its tests."""

import ast
from pathlib import Path

import pytest

from experiments.config_store import TASKS

ROOT = Path(__file__).parent.parent
PACKAGES = ("lightning_modules", "datamodules", "experiments", "configs")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PAPERS = [path for task in TASKS for path in (ROOT / "lightning_modules" / task).glob("[!_]*.py")]


def imports(path):
    """Dotted names of the modules that a file imports, anywhere in it."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module


def test_there_are_files_to_check():
    assert len(FILES) > 30 and len(PAPERS) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_only_what_lies_below_them(path):
    package = path.relative_to(ROOT).parts[0]
    banned = {
        "lightning_modules": ("datamodules", "experiments"),
        "datamodules": ("lightning_modules", "experiments"),
        "configs": PACKAGES,
        "experiments": (),
    }[package]
    assert [name for name in imports(path) if name.split(".")[0] in banned] == []


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_paper_imports_no_other_paper(path):
    tasks = tuple(f"lightning_modules.{task}" for task in TASKS)
    assert [name for name in imports(path) if name.startswith(tasks)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_test_file_of_its_name(path):
    if path.name == "__init__.py":
        return
    assert path.stem not in ("utils", "helpers", "common", "misc")
    mirror = ROOT / "tests" / path.relative_to(ROOT).parent
    tests = {test.stem for test in mirror.glob("test_*.py")}
    assert any(name == f"test_{path.stem}" or name.startswith(f"test_{path.stem}_") for name in tests)
