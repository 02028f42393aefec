"""Fails when a module of `src/sensorcast/` has no test twin: `a/b.py` is tested by `tests/a/test_b.py`.

A package's `__init__.py` needs a twin only where it holds code of its own; its twin is `tests/a/test_init.py` or, for
a package whose front door it is, `tests/a/test_a.py`. Exceptions are few, and each says who tests the module instead.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "sensorcast"
TESTS = ROOT / "tests"

EXCEPTIONS = {
    "__main__.py": "two lines; tests/e2e starts the program through it",
    "cluster/__init__.py": "the contract as Protocols; tests/contracts runs it on every bus",
    "store/__init__.py": "the contract as Protocols; tests/contracts runs it on every store",
}


def holds_code(module: Path) -> bool:
    """Whether a module defines anything; imports, docstrings, `__all__` and the like are not code of its own."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, definitions) for node in tree.body)


def twins(module: Path) -> list[Path]:
    """The places where the test of a module may be."""
    folder = TESTS / module.parent
    if module.name == "__init__.py":
        return [folder / "test_init.py", folder / f"test_{module.parent.name}.py"]
    return [folder / f"test_{module.stem}.py"]


def needs_twin(module: Path) -> bool:
    """Whether this module (a path below `SOURCE`) must have one."""
    if module.as_posix() in EXCEPTIONS:
        return False
    return module.name != "__init__.py" or holds_code(SOURCE / module)


def main() -> int:
    """Print each module without a twin and each exception without a module; 1 when there is one."""
    modules = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    findings = [
        f"src/sensorcast/{module}: no test twin at {twins(module)[0].relative_to(ROOT)}"
        for module in modules
        if needs_twin(module) and not any(twin.is_file() for twin in twins(module))
    ]
    known = {module.as_posix() for module in modules}
    findings += [f"tools/check_twins.py: exception {name} names no module" for name in EXCEPTIONS if name not in known]
    print("\n".join(findings) or f"Twins complete: {len(modules)} modules.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
