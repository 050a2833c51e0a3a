import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmdskd.experiments.run_log import read_run_log


def top1_of(work_dir):
    (path,) = Path(work_dir).glob('*/*.json')
    return json.loads(path.read_text())['accuracy/top1']


def test_gives_the_logged_accuracy(run_tool, dump, plain_config, tmp_path):
    """With --amp, an image or two may be told otherwise."""
    run_tool('train.py', dump(plain_config))
    logged = read_run_log(plain_config.work_dir).val[-1]['accuracy/top1']
    found = {}
    for name, options in dict(plain=[], amp=['--amp']).items():
        config = dump(plain_config)
        work_dir = tmp_path / name
        run_tool(
            'test.py',
            config,
            f'{plain_config.work_dir}/epoch_1.pth',
            '--work-dir',
            work_dir,
            *options,
        )
        found[name] = top1_of(work_dir)
        dumped = Config.fromfile(work_dir / Path(config).name)
        assert dumped.test_cfg.get('fp16', False) == bool(options)
    images = plain_config.test_dataloader.dataset.indices
    assert found['plain'] == logged
    assert found['amp'] == pytest.approx(logged, abs=2 * 100 / images)


def test_missing_checkpoint_is_told_first(run_tool, dump, plain_config):
    plain_config.model.type = 'Nonsense'
    with pytest.raises(FileNotFoundError, match="no file 'no.pth'"):
        run_tool('test.py', dump(plain_config), 'no.pth')
    assert not Path(plain_config.work_dir).exists()


def test_unwritable_work_dir(run_tool, dump, plain_config, tmp_path):
    checkpoint = tmp_path / 'epoch_1.pth'
    checkpoint.touch()
    with pytest.raises(OSError, match='can be written'):
        run_tool(
            'test.py',
            dump(plain_config),
            checkpoint,
            '--work-dir',
            checkpoint / 'below',
        )


def test_distilled_checkpoint_without_its_teacher(
    run_tool, dump, kd_config, tmp_path
):
    """The student is tested, and the training's config stays as it was. A
    resume needs the teacher."""
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
    with pytest.raises(FileNotFoundError, match='no .*teacher.pth'):
        run_tool('train.py', config, '--resume')


def test_weights_of_nan_end_with_an_error(
    run_tool, dump, plain_config, tmp_path
):
    """Their accuracy looks like that of a bad guess."""
    network = MODELS.build(plain_config.model)
    network.head.fc.weight.data[0, 0] = float('nan')
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=network.state_dict()), path)
    with pytest.raises(SystemExit) as error:
        run_tool('test.py', dump(plain_config), path)
    assert error.value.code == (
        f"test.py: a score of {path} is nan: {{'accuracy/top1': nan}}"
    )
