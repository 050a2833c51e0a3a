import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmdskd.experiments.run_log import read_run_log


@pytest.fixture
def checkpoint(run_tool, dump, plain_config):
    run_tool('train.py', dump(plain_config))
    return f'{plain_config.work_dir}/epoch_1.pth'


def top1_of(work_dir):
    (path,) = Path(work_dir).glob('*/*.json')
    return json.loads(path.read_text())['accuracy/top1']


def test_gives_the_logged_accuracy(
    run_tool, dump, plain_config, checkpoint, tmp_path
):
    run_tool(
        'test.py',
        dump(plain_config),
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
    )
    logged = read_run_log(plain_config.work_dir).val[-1]['accuracy/top1']
    assert top1_of(tmp_path / 'test') == logged


def test_amp(run_tool, dump, plain_config, checkpoint, tmp_path):
    run_tool(
        'test.py',
        dump(plain_config),
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
        '--amp',
    )
    assert 0 <= top1_of(tmp_path / 'test') <= 100


def test_missing_checkpoint_is_told_first(run_tool, dump, plain_config):
    plain_config.model.type = 'Nonsense'
    with pytest.raises(FileNotFoundError, match="no file 'no.pth'"):
        run_tool('test.py', dump(plain_config), 'no.pth')
    assert not Path(plain_config.work_dir).exists()


def test_unwritable_work_dir(run_tool, dump, plain_config, checkpoint):
    with pytest.raises(OSError, match='can be written'):
        run_tool(
            'test.py',
            dump(plain_config),
            checkpoint,
            '--work-dir',
            f'{checkpoint}/below',
        )


def test_distilled_checkpoint_without_its_teacher(
    run_tool, dump, kd_config, tmp_path
):
    """The student is tested, and the training's config stays as it was."""
    teacher = tmp_path / 'teacher.pth'
    torch.save(MODELS.build(kd_config.model.teacher).state_dict(), teacher)
    kd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    kd_config.model.teacher_ckpt = str(teacher)
    kd_config.model.teacher.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(teacher), prefix='backbone.'
    )
    config = dump(kd_config)
    run_tool('train.py', config)
    logged = read_run_log(kd_config.work_dir).val[-1]['accuracy/top1']
    teacher.unlink()

    run_tool(
        'test.py',
        config,
        f'{kd_config.work_dir}/epoch_3.pth',
        '--work-dir',
        tmp_path / 'test',
    )
    assert top1_of(tmp_path / 'test') == logged
    dumped = Config.fromfile(tmp_path / 'test' / Path(config).name)
    assert dumped.model.teacher_ckpt == str(teacher)
    assert dumped.model.teacher == kd_config.model.teacher


def test_resume_needs_the_teacher(run_tool, dump, kd_config, tmp_path):
    teacher = tmp_path / 'teacher.pth'
    torch.save(MODELS.build(kd_config.model.teacher).state_dict(), teacher)
    kd_config.model.type = 'mmdskd.FrozenTeacherDistill'
    kd_config.model.teacher_ckpt = str(teacher)
    config = dump(kd_config)
    run_tool('train.py', config)
    teacher.unlink()
    with pytest.raises(FileNotFoundError, match='no .*teacher.pth'):
        run_tool('train.py', config, '--resume')
