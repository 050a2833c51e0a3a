import ast
import copy
import importlib
import importlib.util
import inspect
import pkgutil
import py_compile
import sys
import threading
import zipfile

import pytest

from mmdskd.compat import on_import
from mmdskd.compat.on_import import (
    import_without_assertions,
    rewrite_when_imported,
    when_import_fails,
    when_imported,
)

SOURCE = 'import time\ntime.sleep({seconds})\nVALUE = [1]\n'
PLAIN = SOURCE.format(seconds=0)


@pytest.fixture(autouse=True)
def own_patches(monkeypatch):
    """Forget the patches of a test, and what it imported."""
    monkeypatch.setattr(on_import, '_patches', on_import._patches.copy())
    for name in ('_error_handlers', '_without_assertions', '_rewriters'):
        monkeypatch.setattr(on_import, name, getattr(on_import, name).copy())
    yield
    for name in list(sys.modules):
        if name.partition('.')[0] == 'house':
            del sys.modules[name]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the module ``house.door``."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'house').mkdir()
    (tmp_path / 'house' / '__init__.py').touch()

    def write(source=PLAIN):
        (tmp_path / 'house' / 'door.py').write_text(source)

    return write


def add_two(module):
    module.VALUE.append(2)


def test_later_import(write):
    write()
    when_imported('house.door', add_two)
    assert 'house' not in sys.modules
    from house import door

    assert door.VALUE == [1, 2]


def test_import_before(write):
    write()
    from house import door

    when_imported('house.door', add_two)
    assert door.VALUE == [1, 2]


def test_patches_run_in_order_and_each_once(write):
    write()
    when_imported('house.door', add_two)
    when_imported('house.door', lambda module: module.VALUE.append(3))
    when_imported('house.door', add_two)
    assert importlib.import_module('house.door').VALUE == [1, 2, 3]


def test_second_import_and_reload(write):
    write()
    when_imported('house.door', add_two)
    door = importlib.import_module('house.door')
    del sys.modules['house.door']
    again = importlib.import_module('house.door')
    assert again is not door and again.VALUE == [1, 2]
    assert importlib.reload(again).VALUE == [1, 2]


def test_the_module_looks_as_if_imported_without_patches(write):
    write()
    when_imported('house.door', add_two)
    door = importlib.import_module('house.door')
    loader = type(pytest.__loader__)
    assert type(door.__loader__) is type(door.__spec__.loader) is loader
    assert inspect.getsource(door) == PLAIN


def test_modules_of_an_archive_are_patched_one_by_one(tmp_path, monkeypatch):
    """They share one loader."""
    with zipfile.ZipFile(tmp_path / 'house.zip', 'w') as archive:
        archive.writestr('house/__init__.py', '')
        for name in ('door', 'window'):
            archive.writestr(f'house/{name}.py', PLAIN)
    monkeypatch.syspath_prepend(str(tmp_path / 'house.zip'))
    when_imported('house.door', add_two)
    from house import door, window

    assert door.VALUE == [1, 2] and window.VALUE == [1]


def test_missing_module(write):
    when_imported('house.no_such_module', add_two)
    with pytest.raises(
        ModuleNotFoundError, match="No module named 'house.no_such_module'"
    ):
        importlib.import_module('house.no_such_module')


def test_errors_of_a_patch_end_the_import(write):
    write()

    def fail(module):
        raise ValueError('no key')

    when_imported('house.door', fail)
    with pytest.raises(ValueError, match='no key'):
        importlib.import_module('house.door')
    assert 'house.door' not in sys.modules


def test_import_in_another_thread(write):
    """It has begun when the patch is handed in, and ends later."""
    write('import house\n' + SOURCE.format(seconds=0.3) + 'DONE = True\n')
    thread = threading.Thread(
        target=importlib.import_module, args=('house.door',)
    )
    thread.start()
    while 'house.door' not in sys.modules:
        pass
    seen = []
    when_imported('house.door', lambda module: seen.append(module.DONE))
    thread.join()
    # It may have been patched by both threads.
    assert seen and all(seen)


def test_error_handler(write):
    write('raise ValueError("no key")')

    def handle(error):
        raise ImportError(f'locked: {error}') from error

    when_import_fails('house.door', handle)
    with pytest.raises(ImportError, match='locked: no key'):
        importlib.import_module('house.door')
    when_import_fails('house.door', lambda error: None)
    with pytest.raises(ValueError, match='no key'):
        importlib.import_module('house.door')


def test_loader_is_the_whole_loader_before_the_import(write):
    write()
    when_imported('house.door', add_two)
    loader = importlib.util.find_spec('house.door').loader
    assert loader.get_source('house.door') == PLAIN
    assert not loader.is_package('house.door')
    assert pkgutil.get_data('house.door', 'door.py').decode() == PLAIN
    copy.copy(loader)


def test_error_of_a_patch_is_handled_like_one_of_the_import(write):
    write()
    handled = []

    def fail(module):
        raise ValueError('no such attribute')

    when_imported('house.door', fail)
    when_import_fails('house.door', handled.append)
    with pytest.raises(ValueError, match='no such attribute') as caught:
        importlib.import_module('house.door')
    assert handled == [caught.value]
    assert 'house.door' not in sys.modules


ASSERTING = '''\
"""A docstring, which stays."""
VALUE = [1]
assert VALUE == [2], 'another value'
'''


def test_assertions_are_left_out_where_asked(write):
    write(ASSERTING)
    asked = []
    import_without_assertions('house.door', lambda: bool(asked))
    when_imported('house.door', add_two)
    with pytest.raises(AssertionError, match='another value'):
        importlib.import_module('house.door')
    asked.append(True)
    door = importlib.import_module('house.door')
    assert door.VALUE == [1, 2]
    assert door.__doc__ == 'A docstring, which stays.'
    assert inspect.getsource(door) == ASSERTING
    assert importlib.reload(door).VALUE == [1, 2]


def test_what_it_imports_keeps_its_assertions(write, tmp_path):
    write('from house import window\n')
    (tmp_path / 'house' / 'window.py').write_text('assert False, "closed"')
    import_without_assertions('house.door', lambda: True)
    with pytest.raises(AssertionError, match='closed'):
        importlib.import_module('house.door')
    assert 'house.door' not in sys.modules


def test_module_without_source_keeps_its_assertions(write, tmp_path):
    write('VALUE = [1]\nassert VALUE == [2]\n')
    folder = tmp_path / 'house'
    py_compile.compile(folder / 'door.py', folder / 'door.pyc')
    (folder / 'door.py').unlink()
    import_without_assertions('house.door', lambda: True)
    with pytest.raises(AssertionError):
        importlib.import_module('house.door')


def test_error_of_the_condition_ends_the_import(write):
    write()
    handled = []
    import_without_assertions('house.door', lambda: 1 / 0)
    when_import_fails('house.door', handled.append)
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module('house.door')
    assert handled == [caught.value]


def test_rewritten_source_runs(write):
    """Before the patches, and its file stays as it is."""
    write()
    seen = []

    def rewrite(source):
        seen.append(source)
        return ast.parse(source.replace('[1]', '[7]')) if source else None

    rewrite_when_imported('house', rewrite)
    when_imported('house.door', add_two)
    from house import door

    assert door.VALUE == [7, 2]
    assert seen == [PLAIN]  # an empty source is not asked for
    assert inspect.getsource(door) == PLAIN
    assert door.__loader__ is door.__spec__.loader


def test_source_that_needs_no_rewriting(write):
    write()
    rewrite_when_imported('house', lambda source: None)
    from house import door

    assert door.VALUE == [1]


def test_traceback_of_rewritten_source_shows_the_file(write, tmp_path):
    write('\n\nVALUE = 1 / 0\n')
    rewrite_when_imported('house', ast.parse)
    with pytest.raises(ZeroDivisionError) as error:
        importlib.import_module('house.door')
    last = error.traceback[-1]
    assert str(last.path) == str(tmp_path / 'house/door.py')
    assert last.lineno == 2


def test_other_packages_are_not_rewritten(write):
    write()
    rewrite_when_imported('hous', lambda source: ast.parse('VALUE = 0'))
    from house import door

    assert door.VALUE == [1]


def test_rewritten_source_without_its_assertions(write):
    write(ASSERTING)
    rewrite_when_imported(
        'house', lambda source: ast.parse(source.replace('[1]', '[7]'))
    )
    import_without_assertions('house.door', lambda: True)
    from house import door

    assert door.VALUE == [7]
