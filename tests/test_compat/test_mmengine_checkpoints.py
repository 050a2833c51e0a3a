import os

import pytest
from mmengine.fileio import LocalBackend
from mmengine.hooks import checkpoint_hook

from mmdskd.compat.mmengine_checkpoints import (
    AtomicTextFile,
    save_checkpoints_safely,
)


def fill_disk(monkeypatch):
    def fill(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', fill)


def test_mmengine_replaces_files_when_they_are_whole(tmp_path, monkeypatch):
    path = tmp_path / 'folder' / 'epoch_1.pth'
    LocalBackend().put(b'old', path)
    assert path.read_bytes() == b'old'
    fill_disk(monkeypatch)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        LocalBackend().put(b'new', path)
    assert path.read_bytes() == b'old'
    assert os.listdir(path.parent) == ['epoch_1.pth']


def test_last_checkpoint_is_written_when_it_is_whole(tmp_path, monkeypatch):
    assert checkpoint_hook.open is AtomicTextFile
    path = tmp_path / 'last_checkpoint'
    with AtomicTextFile(str(path), 'w') as file:
        file.write('epoch_1.pth')
    assert path.read_text() == 'epoch_1.pth'
    with pytest.raises(KeyError), AtomicTextFile(str(path), 'w') as file:
        file.write('epoch_2.pth')
        raise KeyError
    assert path.read_text() == 'epoch_1.pth'
    fill_disk(monkeypatch)
    with pytest.raises(OSError), AtomicTextFile(str(path), 'w') as file:
        file.write('epoch_2.pth')
    assert path.read_text() == 'epoch_1.pth'


def test_patch_is_applied_once():
    hook = checkpoint_hook.CheckpointHook
    before = hook._save_best_checkpoint, hook._save_checkpoint_with_step
    save_checkpoints_safely(checkpoint_hook)
    after = hook._save_best_checkpoint, hook._save_checkpoint_with_step
    assert after == before


@pytest.mark.parametrize('keep', [1, 2])
def test_new_one_is_whole_before_the_only_one_is_deleted(
    kd_config, build_runner, monkeypatch, keep
):
    """And no best one is lost to a full disk."""
    kd_config.custom_hooks = []
    kd_config.default_hooks.checkpoint.update(
        max_keep_ckpts=keep, save_best='accuracy/top1', rule='greater'
    )
    put, there = LocalBackend.put, []

    def watched(self, content, path):
        names = os.listdir(kd_config.work_dir)
        there.append([name for name in names if name.endswith('.pth')])
        put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', watched)
    runner = build_runner(kd_config)
    runner.train()
    assert all(names for names in there[1:])
    assert (
        sum(
            'epoch_' in name and 'best' not in name
            for name in os.listdir(kd_config.work_dir)
        )
        == keep
    )
