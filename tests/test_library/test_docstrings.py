"""The examples of all docstrings."""

import doctest
import importlib
from pathlib import Path

import pytest

import mmdskd

PACKAGE = Path(mmdskd.__file__).parent
NAMES = [
    '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
    for path in sorted(PACKAGE.rglob('*.py'))
    if '>>> ' in path.read_text()
]


def test_there_are_examples():
    assert 'mmdskd.models.losses.dskd_loss' in NAMES


@pytest.mark.parametrize('name', NAMES)
def test_docstring_examples(name):
    """They run as they stand: nothing of the module is there by itself."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    output = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(
        module, name, globs={}
    ):
        runner.run(test, out=output.append)
    assert runner.tries > 0
    assert runner.failures == 0, ''.join(output)
