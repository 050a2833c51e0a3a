import os

import pytest
from mmengine.config import Config

from mmdskd.utils.files import find_project_folder
from mmdskd.utils.literal_config import read_dumped_config

VALUES = dict(
    a=[1, -2.5e-5, True, None, 'it\'s "text"\nof two lines'],
    b=dict(c=dict(), d=[], e=(), f=('one',)),
    g={'0': 1, 'not a name': dict(h=2), 3: 4},
    i=float('inf'),
    j=-float('inf'),
    k=[dict(type='mmpretrain.Resize', scale=(32, 32))],
)


def test_values_are_those_that_were_dumped(tmp_path):
    path = tmp_path / 'config.py'
    Config(VALUES).dump(path)
    cfg = read_dumped_config(path)
    assert cfg.to_dict() == VALUES
    assert isinstance(cfg, Config) and cfg.filename == str(path)
    assert cfg.k[0].type == 'mmpretrain.Resize'


@pytest.mark.parametrize(
    'name',
    [
        'dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py',
        'kd/cifar100/kd_resnet56_resnet20_1xb64_cifar100.py',
    ],
)
def test_configs_of_the_project(name, tmp_path):
    cfg = Config.fromfile(find_project_folder('configs') / name)
    cfg.dump(tmp_path / 'config.py')
    assert read_dumped_config(tmp_path / 'config.py').to_dict() == (
        cfg.to_dict()
    )


HOSTILE = {
    'import os': 'import os',
    'a = open("marker", "w")': "open('marker', 'w')",
    'a = __import__("os").mkdir("marker")': "__import__('os').mkdir('marker')",
    'a = dict(b=[open("marker", "w")])': "open('marker', 'w')",
    'a = dict(__import__("os").mkdir("marker"))': 'dict(__import__',
    'a = dict({}, {})': 'dict({}, {})',
    'a = dict(**globals())': 'dict(**globals())',
    'a = {**globals()}': '{**globals()}',
    'a = [open("marker", "w") for i in (1,)]': '[open(',
    'a = (lambda: open("marker", "w"))()': ': open(',
    # Python 3.12 writes other quotes, and 3.9 other brackets and spaces.
    "a = f\"{open('marker', 'w')}\"": '{open(',
    'a = 9**9**9': '9 ** 9 ** 9',
    'a = -open("marker", "w")': "open('marker', 'w')",
    'a = -"b"': "-'b'",
    'a = b': "'b'",
    'a = b = 1': 'a = b = 1',
    'a.b = 1': 'a.b = 1',
    'a, b = 1, 2': ' = (1, 2)',
    'open("marker", "w")': "open('marker', 'w')",
    '_base_ = [open("marker", "w")]': "open('marker', 'w')",
    'class A(metaclass=open("marker", "w")): pass': 'class A',
    'if 1:\n    open("marker", "w")': 'if 1:',
}


@pytest.mark.parametrize('text', HOSTILE)
def test_code_is_refused_and_does_not_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'config.py'
    path.write_text(f'# A comment\nx = 1\n{text}\n')
    with pytest.raises(ValueError) as info:
        read_dumped_config(path)
    message = str(info.value)
    assert message.startswith(
        f'{path}, line 3: it should hold lines "key = value" of plain '
        'values, as MMEngine dumps a config, but got '
    )
    assert HOSTILE[text] in message
    assert message.endswith('The file is read without executing it')
    assert os.listdir(tmp_path) == ['config.py']


def test_long_code_is_shortened(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f'a = f({"1, " * 100})')
    with pytest.raises(ValueError, match=r"got 'f\(1, 1.{,60}\.\.\.'"):
        read_dumped_config(path)


@pytest.mark.parametrize(
    'content, message',
    [
        (b'a = 1\nb = [', 'line 2: it should be a config as MMEngine dumps'),
        (b'a = 1\nb c', 'line 2: it should .* but: invalid syntax'),
        (b'\x80\x04PK\x00', 'should be a config as MMEngine dumps it, but'),
        (b'a = 1\x00', 'should be a config .* null bytes'),
        (b'a = ' + b'[' * 9000, 'should be a config'),
        (b'a = {[]: 1}', 'should be a config .* unhashable'),
        (b'filename = 1', 'should be a config .*filename is reserved'),
    ],
    ids=str,
)
def test_broken_files(content, message, tmp_path):
    path = tmp_path / 'config.py'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'config.py.*{message}'):
        read_dumped_config(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.py'):
        read_dumped_config(tmp_path / 'nothing.py')
    os.mkfifo(tmp_path / 'pipe.py')
    with pytest.raises(OSError, match='pipe.py should be a file, but is none'):
        read_dumped_config(tmp_path / 'pipe.py')
