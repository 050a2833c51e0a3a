"""The rooms of the house: who imports whom."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from mmdskd.utils import _ELSEWHERE

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmdskd'
# A room imports only rooms of lower floors, and itself.
FLOORS = (
    ('version',),
    ('doctor', 'registry', 'utils'),
    ('compat', 'datasets', 'models'),
    ('analysis', 'export', 'kd_zoo'),
    ('engine', 'pairing'),
    ('cli',),
    ('experiments',),
)
FLOOR_OF = {
    room: floor for floor, rooms in enumerate(FLOORS) for room in rooms
}
FILES = sorted(PACKAGE.rglob('*.py'))
TOOLS = sorted((ROOT / 'tools').rglob('*.py'))
# conftest.py runs tools in this process, as from the command line.
TESTS = sorted(
    path
    for path in (ROOT / 'tests').rglob('*.py')
    if path.name != 'conftest.py'
)
MAX_LINES = 320  # 300, and some of a docstring
BY_PATH = {
    'spec_from_file_location',
    'SourceFileLoader',
    'run_path',
    'run_module',
}


def name_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return parts[:-1] if parts[-1] == '__init__' else parts


def find_imports(
    path: Path, name: Optional[tuple[str, ...]] = None
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Modules of the package that a file imports, anywhere in it.

    Yields:
        tuple: Line number, and the parts of the module's dotted name.
    """
    name = name or name_of(path)
    package = name if path.name == '__init__.py' else name[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [tuple(alias.name.split('.')) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            module = tuple((node.module or '').split('.'))
            module = (*base, *filter(None, module)) if node.level else module
            modules = [(*module, alias.name) for alias in node.names]
        else:
            continue
        for parts in modules:
            if parts[:2] == ('mmdskd', 'utils') and parts[-1] in _ELSEWHERE:
                parts = (*_ELSEWHERE[parts[-1]].split('.'), parts[-1])
            if parts[0] == 'mmdskd':
                yield node.lineno, parts


def test_aliases_are_where_they_lead(tmp_path):
    path = PACKAGE / 'models' / 'somewhere.py'
    copy = tmp_path / 'somewhere.py'
    copy.write_text('from mmdskd.utils import resolve_auto\n')
    (found,) = find_imports(copy, name_of(path))
    assert found == (1, ('mmdskd', 'pairing', 'resolve_auto'))


def test_there_are_rooms():
    rooms = {name_of(path)[1] for path in FILES if len(name_of(path)) > 1}
    assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize(
    'path', FILES, ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_down(path):
    name = name_of(path)
    if len(name) == 1:
        return  # the package itself
    wrong = [
        f'line {line}: {".".join(parts)}'
        for line, parts in find_imports(path)
        if len(parts) > 1
        and parts[1] != name[1]
        and FLOOR_OF.get(parts[1], 0) >= FLOOR_OF[name[1]]
    ]
    assert not wrong


def test_no_circle():
    """Also not within a room."""
    graph = {
        '.'.join(name_of(path)): {
            '.'.join(parts) for _, parts in find_imports(path)
        }
        for path in FILES
    }
    # `from package import name` names a module, or something in one.
    graph = {
        module: {
            target if target in graph else target.rpartition('.')[0]
            for target in targets
        }
        - {module}
        for module, targets in graph.items()
    }
    while graph:
        leaves = {
            module
            for module, targets in graph.items()
            if not targets & graph.keys()
        }
        assert leaves, f'circle among {sorted(graph)}'
        graph = {m: t for m, t in graph.items() if m not in leaves}


@pytest.mark.parametrize(
    'path', [*FILES, *TOOLS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize(
    'path', TESTS, ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_test_loads_a_file_by_path(path):
    """What a tool does is in the package, and imported from there."""
    used = {
        getattr(node, 'attr', getattr(node, 'id', None))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Attribute, ast.Name))
    }
    assert not used & BY_PATH
