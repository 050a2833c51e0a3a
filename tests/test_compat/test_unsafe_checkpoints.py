"""Attacks by checkpoints on MMEngine's loaders, of OpenMMLab and OneDL."""

import io
import os
import pickle
import types

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as module
from mmengine.runner import load_checkpoint
from torch import nn

from mmdskd.compat.mmengine import refuse_unsafe_fallback
from mmdskd.utils import CheckpointError, load_checkpoint_file
from mmdskd.utils.checkpoint import MMENGINE_GLOBALS, allow_mmengine_globals
from mmdskd.version import release

needs_list = pytest.mark.skipif(
    not hasattr(torch.serialization, 'safe_globals'),
    reason='torch < 2.5 has no such list of allowed classes',
)
# A class by a name of its own
NAMES_GLOBALS = release(torch.__version__) >= (2, 6, 0)


class Call:
    """Pickles as a call, which loading the pickle would make."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


ATTACKS = {
    'getattr': lambda folder: Call(getattr, HistoryBuffer.mean, '__globals__'),
    'mkdir': lambda folder: Call(os.mkdir, str(folder)),
    'class': lambda folder: nn.Linear(1, 1),
}


def onedl_safe_globals():
    return [getattr, HistoryBuffer]


def onedl_load(file, map_location=None, weights_only=None):
    """What MMEngine 0.10.12 of OneDL does."""
    try:
        with torch.serialization.safe_globals(onedl_safe_globals()):
            return torch.load(file, map_location, weights_only=True)
    except pickle.UnpicklingError:
        if hasattr(file, 'seek'):
            file.seek(0)
        return torch.load(file, map_location, weights_only=False)


@pytest.fixture(autouse=True)
def allowed_globals():
    """Leave the list of torch as it should be."""
    yield
    allow_mmengine_globals()


@pytest.fixture(params=ATTACKS)
def attack(request, tmp_path):
    """The path of a checkpoint, and the folder that it would make."""
    folder = tmp_path / 'victim'
    path = tmp_path / 'attack.pth'
    torch.save(dict(state_dict={}, x=ATTACKS[request.param](folder)), path)
    return path, folder


def test_local_checkpoints_run_no_code(attack):
    path, folder = attack
    with pytest.raises(CheckpointError, match='was not loaded'):
        load_checkpoint(nn.Linear(1, 1), str(path))
    assert not folder.exists()


@needs_list
def test_loaders_of_others_run_no_code(attack, monkeypatch):
    """Such as those of S3, which get a file in memory."""
    path, folder = attack
    backend = types.SimpleNamespace(get=lambda _: path.read_bytes())
    monkeypatch.setattr(module, 'get_file_backend', lambda *a, **k: backend)
    with pytest.raises(pickle.UnpicklingError):
        module.load_from_ceph('s3://bucket/attack.pth')
    assert not folder.exists()


@needs_list
def test_the_real_getattr_is_not_allowed():
    allowed = torch.serialization.get_safe_globals()
    assert MMENGINE_GLOBALS['builtins.getattr'] in allowed
    assert getattr not in allowed
    if hasattr(module, 'get_torch_safe_globals'):
        assert getattr not in module.get_torch_safe_globals()


@needs_list
def test_what_others_allow_and_forget(attack, tmp_path):
    """``safe_globals`` takes off the list of torch what was there before."""
    path, folder = attack
    for real in (getattr, (getattr, 'builtins.getattr')):
        if isinstance(real, tuple) and not NAMES_GLOBALS:
            continue
        torch.serialization.add_safe_globals([real])
        with pytest.raises(CheckpointError, match='was not loaded'):
            load_checkpoint(nn.Linear(1, 1), str(path))
        assert real not in torch.serialization.get_safe_globals()
    assert not folder.exists()
    with torch.serialization.safe_globals([getattr, HistoryBuffer]):
        pass
    assert HistoryBuffer not in torch.serialization.get_safe_globals()
    resume = tmp_path / 'epoch_1.pth'
    torch.save(dict(buffer=HistoryBuffer([1.0, 3.0], [1, 1])), resume)
    assert load_checkpoint_file(resume)['buffer'].mean() == 2


@needs_list
def test_fallback_of_onedl(attack):
    """Also without OneDL."""
    path, folder = attack
    onedl = types.ModuleType('checkpoint')
    onedl.torch = torch
    onedl._safe_torch_load = onedl_load
    onedl.get_torch_safe_globals = onedl_safe_globals
    # Else this proves nothing.
    assert 'x' in onedl._safe_torch_load(path)
    if folder.exists():
        folder.rmdir()
    refuse_unsafe_fallback(onedl)
    for file in (str(path), io.BytesIO(path.read_bytes())):
        for options in ({}, dict(weights_only=False)):
            with pytest.raises(pickle.UnpicklingError):
                onedl._safe_torch_load(file, map_location='cpu', **options)
    assert not folder.exists()
    assert getattr not in onedl.get_torch_safe_globals()


@needs_list
def test_what_mmengine_saves_is_still_loaded(tmp_path):
    onedl = types.ModuleType('checkpoint')
    onedl.torch = torch
    onedl._safe_torch_load = onedl_load
    refuse_unsafe_fallback(onedl)
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(buffer=HistoryBuffer([1.0, 3.0], [1, 1])), path)
    assert onedl._safe_torch_load(path)['buffer'].mean() == 2


def test_mmengine_of_openmmlab_has_no_such_function():
    plain = types.ModuleType('checkpoint')
    plain.torch = torch
    refuse_unsafe_fallback(plain)
    assert not hasattr(plain, '_safe_torch_load')
