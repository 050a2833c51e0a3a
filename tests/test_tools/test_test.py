import json
from pathlib import Path

import pytest

from mmdskd.utils.run_log import read_run_log


@pytest.fixture
def checkpoint(run_tool, dump, plain_config):
    run_tool('train.py', dump(plain_config))
    return f'{plain_config.work_dir}/epoch_1.pth'


def top1_of(work_dir):
    (path, ) = Path(work_dir).glob('*/*.json')
    return json.loads(path.read_text())['accuracy/top1']


def test_gives_the_logged_accuracy(run_tool, dump, plain_config, checkpoint,
                                   tmp_path):
    run_tool('test.py', dump(plain_config), checkpoint, '--work-dir',
             tmp_path / 'test')
    logged = read_run_log(plain_config.work_dir).val[-1]['accuracy/top1']
    assert top1_of(tmp_path / 'test') == logged


def test_amp(run_tool, dump, plain_config, checkpoint, tmp_path):
    run_tool('test.py', dump(plain_config), checkpoint, '--work-dir',
             tmp_path / 'test', '--amp')
    assert 0 <= top1_of(tmp_path / 'test') <= 100


def test_missing_checkpoint_is_told_first(run_tool, dump, plain_config):
    plain_config.model.type = 'Nonsense'
    with pytest.raises(FileNotFoundError, match="no file 'no.pth'"):
        run_tool('test.py', dump(plain_config), 'no.pth')
    assert not Path(plain_config.work_dir).exists()


def test_unwritable_work_dir(run_tool, dump, plain_config, checkpoint):
    with pytest.raises(OSError, match='can be written'):
        run_tool('test.py', dump(plain_config), checkpoint, '--work-dir',
                 f'{checkpoint}/below')
