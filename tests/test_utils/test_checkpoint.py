import collections
import os
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from mmdskd.utils import CheckpointError, load_checkpoint_file
from mmdskd.utils.checkpoint import (
    HISTORY_BUFFER_METHODS,
    MMENGINE_GLOBALS,
    allow_mmengine_globals,
)


class CallOnLoad:
    """Pickles as a call, which loading the pickle would make."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def save(path, value, legacy=False):
    torch.save(
        dict(state_dict={}, value=value),
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    return path


@pytest.mark.parametrize('legacy', [False, True])
def test_reads_what_mmengine_saves(tmp_path, legacy):
    buffer = HistoryBuffer([1.5, 0.5], [1, 1])
    value = dict(
        buffer=buffer,
        score=np.float64(0.25),
        epoch=np.int64(3),
        milestones=collections.Counter([2, 2, 5]),
        array=np.arange(6, dtype=np.float32).reshape(2, 3),
        rate=0.1,
        weight=nn.Parameter(torch.ones(2)),
    )
    loaded = load_checkpoint_file(save(tmp_path / 'a.pth', value, legacy))[
        'value'
    ]

    assert type(loaded['buffer']) is HistoryBuffer
    assert loaded['buffer'].mean() == 1.0
    assert loaded['buffer'].statistics('min') == 0.5
    assert loaded['score'] == 0.25 and loaded['epoch'] == 3
    assert loaded['milestones'] == {2: 2, 5: 1}
    assert np.array_equal(loaded['array'], value['array'])
    assert loaded['array'].dtype == np.float32
    assert loaded['rate'] == 0.1
    assert torch.equal(loaded['weight'], value['weight'])


def test_pickles_exactly_the_methods_that_are_allowed():
    methods = HistoryBuffer().__getstate__()['statistics_methods']
    assert set(methods) == set(HISTORY_BUFFER_METHODS)


@pytest.mark.parametrize('module', ['builtins', '__builtin__'])
def test_getattr_is_a_stand_in(module):
    stand_in = MMENGINE_GLOBALS[f'{module}.getattr']
    assert stand_in is not getattr
    assert stand_in(HistoryBuffer, 'mean') is HistoryBuffer.mean
    for args in [
        (HistoryBuffer.mean, '__globals__'),
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, 'update'),
        (dict, 'min'),
        (HistoryBuffer, ['min']),
        (HistoryBuffer, 'min', None),
        (),
    ]:
        with pytest.raises(pickle.UnpicklingError, match='getattr'):
            stand_in(*args)


@pytest.mark.parametrize('legacy', [False, True])
def test_refuses_to_reach_globals(tmp_path, legacy):
    path = save(
        tmp_path / 'a.pth',
        CallOnLoad(getattr, HistoryBuffer.mean, '__globals__'),
        legacy,
    )
    with pytest.raises(CheckpointError) as error:
        load_checkpoint_file(path)
    message = str(error.value)
    assert f'"{path}" was not loaded' in message
    assert 'would run code or holds an unknown class, "getattr"' in message


@pytest.mark.parametrize('legacy', [False, True])
def test_refuses_to_run_code(tmp_path, legacy):
    victim = tmp_path / 'victim'
    path = save(tmp_path / 'a.pth', CallOnLoad(os.mkdir, str(victim)), legacy)
    with pytest.raises(CheckpointError, match='was not loaded: .*mkdir'):
        load_checkpoint_file(path)
    assert not victim.exists()


def test_refuses_to_run_code_of_a_plain_pickle(tmp_path):
    victim = tmp_path / 'victim'
    path = tmp_path / 'a.pth'
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(
            pickle.dumps(CallOnLoad(os.mkdir, str(victim)), protocol)
        )
        with pytest.raises(CheckpointError):
            load_checkpoint_file(path)
        assert not victim.exists()


def test_the_attacks_would_succeed_elsewhere(tmp_path):
    """Else the three tests above prove nothing."""
    victim = tmp_path / 'victim'
    pickle.loads(pickle.dumps(CallOnLoad(os.mkdir, str(victim))))
    assert victim.exists()
    stolen = pickle.loads(
        pickle.dumps(CallOnLoad(getattr, HistoryBuffer.mean, '__globals__'))
    )
    assert '__builtins__' in stolen


def test_refuses_an_unknown_class_and_names_it(tmp_path):
    path = save(tmp_path / 'a.pth', nn.Linear(2, 2))
    with pytest.raises(
        CheckpointError, match='"torch.nn.modules.linear.Linear"'
    ):
        load_checkpoint_file(path)


def test_missing_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as error:
        load_checkpoint_file('missing.pth')
    assert f'"{os.path.join(os.getcwd(), "missing.pth")}"' in str(error.value)


def test_expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    save(tmp_path / 'a.pth', 7)
    assert load_checkpoint_file('~/a.pth')['value'] == 7


@pytest.mark.parametrize('legacy', [False, True])
def test_truncated_file(tmp_path, legacy):
    path = save(tmp_path / 'a.pth', torch.zeros(9999), legacy)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CheckpointError, match='cannot be read .* truncated'):
        load_checkpoint_file(path)


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04'])
def test_other_file(tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='cannot be read'):
        load_checkpoint_file(path)


def test_archives_that_weights_only_does_not_restrict(tmp_path):
    script = tmp_path / 'script.pth'
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), script)
    tar = tmp_path / 'tar.pth'
    with tarfile.open(tar, 'w') as archive:
        archive.add(script, 'storages')
    for path in (script, tar):
        with pytest.raises(CheckpointError, match='TorchScript or tar'):
            load_checkpoint_file(path)


def test_not_a_dict(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save([1, 2], path)
    with pytest.raises(
        CheckpointError, match='should hold a dict, but got list'
    ):
        load_checkpoint_file(path)


def test_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint_file(tmp_path)


def test_names_of_both_numpy_generations(tmp_path):
    """A checkpoint moves between numpy 1 and 2."""
    path = save(tmp_path / 'a.pth', np.float64(0.5), legacy=True)
    content = path.read_bytes()
    here, there = b'cnumpy._core.', b'cnumpy.core.'
    if here not in content:
        here, there = there, here
    assert here in content
    other = tmp_path / 'b.pth'
    shutil.copy(path, other)
    other.write_bytes(content.replace(here, there))
    assert load_checkpoint_file(other)['value'] == 0.5


@pytest.mark.parametrize('name', ['kd.py', 'kd.JSON', 'run.log'])
def test_a_config_in_place_of_a_checkpoint(tmp_path, name):
    path = tmp_path / name
    path.write_text("model = dict(type='A')\n")
    with pytest.raises(CheckpointError) as error:
        load_checkpoint_file(path)
    assert str(error.value) == (
        f'"{path}" should be a checkpoint, such as epoch_1.pth, but it is a '
        'config or another text: are the two swapped?'
    )


def test_any_name_of_a_checkpoint_is_read(tmp_path):
    path = save(tmp_path / 'weights.txt', 3)
    assert load_checkpoint_file(path)['value'] == 3


def test_list_of_allowed_classes_does_not_grow(monkeypatch):
    """That of torch 2.4 keeps what is added twice."""
    allowed = [dict, getattr]
    for name, function in (
        ('get_safe_globals', lambda: allowed),
        ('add_safe_globals', allowed.extend),
        ('clear_safe_globals', allowed.clear),
    ):
        monkeypatch.setattr(torch.serialization, name, function, raising=False)
    allow_mmengine_globals()
    first = list(allowed)
    assert first == [dict, *MMENGINE_GLOBALS.values()]
    assert not any(value is getattr for value in first)
    allow_mmengine_globals()
    assert allowed == first
