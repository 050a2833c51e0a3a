import json
import os

import pytest

from mmdskd.utils.files import write_atomically, write_json


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / 'file'
    for content in (b'long text', b'short'):
        write_atomically(path, lambda file: file.write(content))
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
