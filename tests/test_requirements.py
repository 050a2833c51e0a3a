"""All that is imported is declared, and torch has one range."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

from mmdskd.doctor.checks import RANGES
from mmdskd.doctor.stack import MODULES, ONEDL, OPENMMLAB
from mmdskd.version import (
    MAX_PYTHON,
    MAX_TORCH,
    MIN_PYTHON,
    MIN_TORCH,
    satisfies,
)

ROOT = Path(__file__).resolve().parents[1]

# Module to distribution, where the names differ.
DISTRIBUTIONS = {
    'mmcv': 'mmcv-lite',
    'huggingface_hub': 'huggingface-hub',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}
# benchmark_data.py compares with the one, and the log of runs is kept by the
# other, where it is installed.
WHERE_INSTALLED = {'kornia', 'mlflow'}


def read(name: str) -> dict[str, str]:
    """Get the distributions of a file in requirements/ and their ranges."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return dict(
        re.fullmatch(r'([\w.-]+)(.*)', line).groups()
        for line in lines
        if line and not line.startswith('#')
    )


def imported() -> set[str]:
    """Get the top-level modules that mmdskd/ and tools/ import."""
    names = set()
    for folder in ('mmdskd', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            if '.mim' in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {a.name.split('.')[0] for a in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add(node.module.split('.')[0])
    return names


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason='has no sys.stdlib_module_names'
)
def test_all_that_is_imported_is_declared():
    standard = {*sys.builtin_module_names, *sys.stdlib_module_names}
    declared = {
        *read('runtime'),
        *read('optional'),
        *read('networks'),
        *read('deploy'),
        *read('openmmlab'),
        *read('mminstall'),
    }
    undeclared = {
        name
        for name in imported() - standard - WHERE_INSTALLED - {'mmdskd'}
        if DISTRIBUTIONS.get(name, name) not in declared
    }
    assert undeclared == set()


def test_one_range_of_torch():
    major, minor = map(int, MAX_TORCH.split('.'))
    assert read('runtime')['torch'] == f'>={MIN_TORCH}'
    assert read('constraints')['torch'] == (
        f'>={MIN_TORCH},<{major}.{minor + 1}'
    )


def test_lines_are_named_as_the_doctor_names_them():
    openmmlab = {**read('openmmlab'), **read('mminstall')}
    assert set(openmmlab) == set(OPENMMLAB.values())
    assert set(read('onedl')) == set(ONEDL.values())
    assert not {*openmmlab, *read('onedl')} & set(read('runtime'))


@pytest.mark.parametrize('name', ['openmmlab', 'mminstall', 'onedl'])
def test_what_is_installed_satisfies_the_doctor(name):
    for package, specifier in read(name).items():
        lowest = re.match(r'>=([\d.]+)', specifier)[1]
        (module,) = (m for m in MODULES if MODULES[m].fullmatch(package))
        assert satisfies(lowest, RANGES[module])


def test_stacks_have_the_ends_of_the_range():
    stacks = configparser.ConfigParser()
    stacks.read(ROOT / 'requirements' / 'stacks.cfg')
    assert stacks['oldest']['constraints'] == 'requirements/oldest.txt'
    assert read('oldest')['torch'].startswith(f'=={MIN_TORCH}.')
    # The default: requirements/constraints.txt
    assert 'constraints' not in stacks['newest']
    assert {section['python'] for _, section in stacks.items() if section} == {
        f'3.{minor}' for minor in range(MIN_PYTHON[1], MAX_PYTHON[1] + 1)
    }
