import os
import subprocess
import sys
import types

import pytest
from mmengine.config import Config, config

from mmdskd.experiments.fork_server import find_layout_module, lay_out_once


def test_lay_out_once():
    calls = []

    def lay_out(text, **options):
        calls.append((text, options))
        if text == 'bad':
            raise SyntaxError
        return text + '\n', True

    module = types.ModuleType('config')
    module.FormatCode = lay_out
    lay_out_once(module)
    for _ in range(2):
        assert module.FormatCode('a', style=dict(b=1)) == ('a\n', True)
        assert module.FormatCode('a', style=dict(b=2)) == ('a\n', True)
        assert module.FormatCode('c', style=dict(b=1)) == ('c\n', True)
    assert calls == [
        ('a', dict(style=dict(b=1))),
        ('a', dict(style=dict(b=2))),
        ('c', dict(style=dict(b=1))),
    ]
    with pytest.raises(SyntaxError):
        module.FormatCode('bad')


def test_mmengine_lays_out_configs_by_it(monkeypatch):
    calls = []
    module = find_layout_module(config)
    monkeypatch.setattr(
        module,
        'FormatCode',
        lambda text, **options: (calls.append(text) or text, False),
    )
    lay_out_once(module)
    cfg = Config(dict(a=1))
    assert cfg.pretty_text == cfg.pretty_text
    cfg.a = 2
    assert cfg.pretty_text
    assert calls == ['a=1', 'a=2']


@pytest.mark.slow
def test_stack_runs_no_thread(tmp_path):
    """A fork has none but the main thread: another one would be missed."""
    code = (
        'import os, sys\n'
        'from importlib import import_module\n'
        'from mmdskd.experiments.fork_server import STACK\n'
        'for name in STACK: import_module(name)\n'
        'print(len(os.listdir("/proc/self/task")))\n'
    )
    out = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert out.stdout == '1\n'
