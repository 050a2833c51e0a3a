import json
import os

import pytest
import torch
from mmengine.config import Config

from mmdskd.utils import files
from mmdskd.utils.files import (
    check_new_file,
    find_project_folder,
    save_checkpoint_atomically,
    save_config_atomically,
    write_atomically,
    write_json,
)


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / 'file'
    for content in (b'long text', b'short'):
        write_atomically(path, lambda file, text=content: file.write(text))
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ['file']


def test_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically('file', lambda file: file.write(b'text'))
    assert (tmp_path / 'file').read_bytes() == b'text'


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / 'file'
    path.write_text('old')

    def fail(file):
        file.write(b'new')
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        write_atomically(path, fail)
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['file']


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        write_json(tmp_path / 'nowhere' / 'file.json', [])


def test_json(tmp_path):
    content = [dict(mean=1.5, std=None), 'text']
    write_json(tmp_path / 'file.json', content)
    text = (tmp_path / 'file.json').read_text()
    assert json.loads(text) == content
    assert text.startswith('[\n  {') and text.endswith(']\n')


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_json(tmp_path / 'file.json', float('nan'))
    assert os.listdir(tmp_path) == []


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'file.pth'
    save_checkpoint_atomically(dict(a=1), str(path))
    before = path.read_bytes()
    save = torch.save

    def full_disk(content, file):
        save(content, file)
        assert path.read_bytes() == before
        raise OSError('No space left on device')

    monkeypatch.setattr(torch, 'save', full_disk)
    with pytest.raises(OSError, match='No space'):
        save_checkpoint_atomically(dict(a=2), str(path))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['file.pth']

    # Whoever has the old file open reads it to its end.
    monkeypatch.undo()
    with open(path, 'rb') as old_file:
        save_checkpoint_atomically(dict(a=2), str(path))
        assert old_file.read() == before
    assert torch.load(str(path), weights_only=True) == dict(a=2)
    assert os.listdir(tmp_path) == ['file.pth']


def test_saved_file_is_as_readable_as_any(tmp_path):
    path = tmp_path / 'file.pth'
    save_checkpoint_atomically({}, str(path))
    (tmp_path / 'other').touch()
    assert path.stat().st_mode == (tmp_path / 'other').stat().st_mode


def test_failed_config_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'config.py'
    path.write_text('a = 1')

    def fail(*args):
        raise OSError

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError):
        save_config_atomically(Config(dict(a=2)), str(path))
    assert path.read_text() == 'a = 1'
    assert os.listdir(tmp_path) == ['config.py']


def test_new_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_new_file('new.py')
    (tmp_path / 'old.py').touch()
    (tmp_path / 'link.py').symlink_to('nowhere')
    for name in ('old.py', 'link.py'):
        with pytest.raises(
            FileExistsError, match=f'{name} is there already, .* by -o'
        ):
            check_new_file(name)
    with pytest.raises(
        FileNotFoundError, match='in a folder that is there, but .*missing is'
    ):
        check_new_file(tmp_path / 'missing/new.py')


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that is installed somewhere else."""
    path = tmp_path / 'place' / 'mmdskd'
    path.mkdir(parents=True)
    monkeypatch.setattr(files, 'PACKAGE', path)
    return path


def test_folder_of_this_project():
    assert (find_project_folder('tools') / 'train.py').is_file()
    assert find_project_folder('configs').parent == (
        find_project_folder('tools').parent
    )


def test_folder_of_a_wheel(package):
    (package / '.mim/configs').mkdir(parents=True)
    # What else lies in site-packages is of other projects.
    (package.parent / 'configs').mkdir()
    assert find_project_folder('configs') == package / '.mim/configs'


def test_folder_of_an_editable_install(package):
    """Without the link, so that paths are those that the user sees."""
    folder = package.parent / 'configs'
    folder.mkdir()
    (package / '.mim').mkdir()
    (package / '.mim/configs').symlink_to(folder)
    assert find_project_folder('configs') == folder


def test_folder_of_a_source_tree(package):
    folder = package.parent / 'configs'
    folder.mkdir()
    (package.parent / 'pyproject.toml').touch()
    assert find_project_folder('configs') == folder


def test_missing_folder_of_the_project(package):
    (package.parent / 'configs').mkdir()  # of another project
    with pytest.raises(
        FileNotFoundError,
        match="installed with its folder 'configs', but there is none at "
        f'{package}/.mim/configs. Install it from the repository',
    ):
        find_project_folder('configs')


def test_force_replaces_a_file_but_no_folder(tmp_path):
    (tmp_path / 'old.png').write_text('old')
    check_new_file(tmp_path / 'old.png', force=True)
    assert (tmp_path / 'old.png').read_text() == 'old'
    with pytest.raises(
        IsADirectoryError, match="^--out should be a file, but '.*' is a fold"
    ):
        check_new_file(tmp_path, force=True, option='--out')
    assert os.listdir(tmp_path) == ['old.png']


def test_file_that_holds_the_same_may_stay(tmp_path):
    (tmp_path / 'old.py').write_text('a = 1')
    check_new_file(tmp_path / 'old.py', content='a = 1')
    with pytest.raises(FileExistsError, match='replace it by --force'):
        check_new_file(tmp_path / 'old.py', content='a = 2')


@pytest.mark.parametrize('name', ['x' * 250, 'pa\0th'])
def test_place_that_cannot_be_written(name, tmp_path):
    """Before the work, and whatever the rights of this user are."""
    with pytest.raises((OSError, ValueError), match='too long|null byte'):
        check_new_file(tmp_path / name)


def test_folder_without_the_right_to_write(tmp_path, monkeypatch):
    def refuse(path, *args):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr('builtins.open', refuse)
    with pytest.raises(
        OSError,
        match='^--json should be a file that can be written, but .*a.json.*'
        'is not: Permission denied$',
    ):
        check_new_file(tmp_path / 'a.json', option='--json')
