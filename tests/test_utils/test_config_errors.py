import pytest

from mmdskd.utils.config import load_config

# Files, the one that is loaded, the file that is named, and what is said
CASES = {
    'syntax': (
        {'a.py': 'x = 1\ny = ]\n'},
        "a.py, line 2: SyntaxError: unmatched ']'",
    ),
    'syntax of a base': (
        {'a.py': '_base_ = ["b.py"]', 'b.py': '_base_ = "c.py"', 'c.py': '}'},
        "c.py, line 1: SyntaxError: unmatched '}' (_base_ of b.py, _base_ of "
        'a.py)',
    ),
    'name': (
        {'a.py': 'x = 1\n\ny = dict(z=nothing)\n'},
        "a.py, line 3: NameError: name 'nothing' is not defined",
    ),
    'name in a base': (
        {'a.py': '_base_ = ["b.py"]\nx = 1', 'b.py': 'y = nothing'},
        "b.py, line 1: NameError: name 'nothing' is not defined (_base_ of "
        'a.py)',
    ),
    'attribute': (
        {'a.py': 'x = 1\nx.y\n'},
        "a.py, line 2: AttributeError: 'int' object has no attribute 'y'",
    ),
    'within a function': (
        {'a.py': 'def f():\n    return 1 / 0\n\n\nx = f()\n'},
        'a.py, line 2: ZeroDivisionError: division by zero',
    ),
    'key': ({'a.py': 'x = {}\ny = x["z"]'}, 'a.py, line 2: KeyError: z'),
    'missing base': (
        {'a.py': '_base_ = ["no/such.py"]'},
        'a.py: its _base_ names "no/such.py", but there is no such file',
    ),
    'missing base of a base': (
        {'a.py': '_base_ = "b.py"', 'b.py': '_base_ = ["no.py"]'},
        'b.py: its _base_ names "no.py", but there is no such file (_base_ '
        'of a.py)',
    ),
    'base that is itself': (
        {'a.py': '_base_ = "a.py"'},
        'a.py: its _base_ leads back to a.py, which has it as its _base_ or '
        'as a _base_ of that',
    ),
    'bases that are one another': (
        {
            'a.py': '_base_ = "b.py"',
            'b.py': '_base_ = "c.py"',
            'c.py': '_base_ = "b.py"',
        },
        'c.py: its _base_ leads back to b.py, which has it as its _base_ or ',
    ),
    'same key in two bases': (
        {'a.py': '_base_ = ["b.py", "c.py"]', 'b.py': 'x=1', 'c.py': 'x=2'},
        'a.py: KeyError: Duplicate key is not allowed among bases. Duplicate '
        "keys: {'x'}",
    ),
    'missing module': (
        {'a.py': 'custom_imports = dict(imports=["no_such_module"])'},
        'a.py: custom_imports should name modules that can be imported, but: '
        'ImportError: Failed to import no_such_module (ModuleNotFoundError: '
        "No module named 'no_such_module'). PYTHONPATH should name the "
        'folder of a module of your own',
    ),
    'modules in another form': (
        {'a.py': 'custom_imports = "mmdskd"'},
        'a.py: custom_imports should be a dict(imports=[...], '
        'allow_failed_imports=False), but: ',
    ),
    'pure Python': (
        {
            'a.py': 'from mmengine.config import read_base\n'
            'with read_base():\n    from .nothing import *\n'
        },
        'a.py: ConfigParsingError: nothing.py not found!',
    ),
    'JSON': ({'a.json': '{"x": '}, 'a.json: JSONDecodeError: Expecting value'),
    'JSON of a list': (
        {'a.json': '[1]'},
        "a.json: it should hold keys and values, but: 'list' object has no",
    ),
    'YAML': ({'a.yaml': 'x: [1'}, 'a.yaml: ParserError: while parsing'),
    'binary': (
        {'a.py': '\udc80\x04PK'},
        "a.py: UnicodeDecodeError: 'utf-8' codec can't decode byte 0x80",
    ),
    'reserved key': (
        {'a.py': 'filename = 1'},
        'a.py: KeyError: filename is reserved for config file',
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_file_and_line_are_named(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, expected = CASES[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text, errors='surrogateescape')
    kind = FileNotFoundError if case.startswith('missing base') else ValueError
    with pytest.raises(kind) as info:
        load_config(next(iter(files)))
    message = str(info.value).replace(f'{tmp_path}/', '')
    assert message.startswith(expected), message
    assert (info.value.__cause__ is None) == (
        'one another' in case or 'itself' in case
    )


@pytest.mark.parametrize(
    'name, message',
    [
        ('folder', "'folder' is a folder"),
        ('folder.py', "'folder.py' is a folder"),
        ('', "'' is neither"),
        ('no.py', "'no.py' is neither"),
    ],
)
def test_what_is_no_file(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder.py').mkdir()
    with pytest.raises(FileNotFoundError, match=message):
        load_config(name)


@pytest.mark.parametrize('name', ['epoch_1.pth', 'notes.txt', 'config'])
def test_another_kind_of_file(name, tmp_path):
    (tmp_path / name).write_text('x = 1')
    with pytest.raises(
        ValueError,
        match=r"config should be a file that ends with \('.py', .*, but got "
        f".*{name}'. The config and the checkpoint may have changed places",
    ):
        load_config(str(tmp_path / name))
