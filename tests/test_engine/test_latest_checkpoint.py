import os
from pathlib import Path

import pytest
import torch

from mmdskd.engine.latest_checkpoint import find_latest_checkpoint


@pytest.fixture
def save(tmp_path):
    """Save a checkpoint of a run, at a time in seconds or as MMEngine
    does."""

    def save(name, iteration, saved_at=None, time='20260101_000000', **more):
        content = dict(
            meta=dict(iter=iteration, time=time),
            optimizer={},
            message_hub={},
            state_dict=dict(weight=torch.zeros(1000)),
            **more,
        )
        if saved_at is not None:
            content['exact_resume'] = dict(saved_at=saved_at)
        path = tmp_path / name
        torch.save(content, path)
        return str(path)

    return save


def test_newest_by_what_is_in_the_files(save, tmp_path):
    """Not by what lies there of an older run, nor by dates of files."""
    path = save('epoch_3.pth', 30, saved_at=2e9)
    save('epoch_40.pth', 400, saved_at=1e9)
    save('epoch_2.pth', 20, saved_at=1.9e9)
    os.utime(path, (0, 0))
    (tmp_path / 'last_checkpoint').write_text('/moved/from/epoch_2.pth')
    assert find_latest_checkpoint(str(tmp_path)) == (path, [])


def test_old_checkpoints_have_the_time_of_mmengine(save, tmp_path):
    save('iter_10.pth', 10, time='20260101_000000')
    path = save('iter_20.pth', 20, time='20260101_000001')
    later = save('iter_5.pth', 5, time='20260101_000001')
    assert find_latest_checkpoint(str(tmp_path)).path == path
    os.remove(path)
    assert find_latest_checkpoint(str(tmp_path)).path == later


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'holds no path'),
        (b'\0\xff\n', 'holds no path'),
        (b'/no/such/epoch_9.pth', 'there is no /no/such/epoch_9.pth'),
    ],
)
def test_pointer_that_leads_nowhere(save, tmp_path, content, reason):
    path = save('epoch_1.pth', 10)
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_bytes(content)
    found = find_latest_checkpoint(str(tmp_path))
    assert found == (path, [f'{pointer} is skipped: it {reason}']) or (
        found == (path, [f'{pointer} is skipped: {reason}'])
    )


def test_damaged_files_are_skipped(save, tmp_path):
    whole = save('epoch_1.pth', 10, saved_at=1.0)
    torn = save('epoch_2.pth', 20, saved_at=2.0)
    zeros = save('epoch_3.pth', 30, saved_at=3.0)
    with open(torn, 'r+b') as file:
        file.truncate(os.path.getsize(torn) // 2)
    content = bytearray(Path(zeros).read_bytes())
    # The weights are of zeros, and 4,000 bytes long.
    start = content.index(bytes(4000))
    content[start + 100 : start + 200] = b'1' * 100
    Path(zeros).write_bytes(content)
    (tmp_path / 'epoch_4.pth').touch()
    path, skipped = find_latest_checkpoint(str(tmp_path))
    assert path == whole
    assert len(skipped) == 3
    assert 'epoch_2.pth is skipped: ' in skipped[0]
    assert 'epoch_4.pth is skipped: ' in skipped[1]
    assert skipped[2].startswith(f'{zeros} is skipped: it is damaged')


def test_what_is_no_run_to_go_on_with(save, tmp_path):
    """The best one has no optimizer, a student no state of a run."""
    torch.save(
        dict(meta=dict(iter=9), message_hub={}), tmp_path / 'epoch_9.pth'
    )
    save('epoch_8_student.pth', 8)
    save('best_epoch_7.pth', 7)
    assert find_latest_checkpoint(str(tmp_path)) == (None, [])


def test_other_names_and_folder(save, tmp_path):
    path = save('step-7.ckpt', 7)
    (tmp_path / 'work').mkdir()
    found = find_latest_checkpoint(
        str(tmp_path / 'work'), str(tmp_path), 'step-{}.ckpt'
    )
    assert found.path == path


def test_remote_checkpoint_is_not_looked_at(tmp_path):
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text('s3://bucket/epoch_3.pth\n')
    assert find_latest_checkpoint(str(tmp_path)).path == (
        's3://bucket/epoch_3.pth'
    )
