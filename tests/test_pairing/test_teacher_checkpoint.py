from pathlib import Path

import pytest
from mmengine.config import Config

from mmdskd.pairing.source_config import SourceConfig
from mmdskd.pairing.teacher_checkpoint import (
    choose_teacher_ckpt,
    trained_checkpoint,
)

WEIGHTS = dict(type='Pretrained', checkpoint='own.pth')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source(checkpoint=None, init_cfg=None, **kwargs):
    model = dict(type='ImageClassifier', init_cfg=init_cfg)
    cfg = dict(model=model, train_cfg=dict(max_epochs=7), **kwargs)
    return SourceConfig('net', 'net.py', Config(cfg), checkpoint)


@pytest.mark.parametrize(
    'train_cfg, path',
    [
        (dict(max_epochs=7), 'work_dirs/net/epoch_7.pth'),
        (dict(type='IterBasedTrainLoop', max_iters=9), 'o/iter_9.pth'),
        (None, 'work_dirs/net/epoch_N.pth'),
    ],
)
def test_where_a_training_leaves_it(train_cfg, path):
    work_dir = path.split('/')[0] if path.startswith('o/') else None
    cfg = Config(dict(train_cfg=train_cfg, work_dir=work_dir))
    assert trained_checkpoint(SourceConfig('net', 'net.py', cfg)) == path


def test_order_of_choice():
    trained = 'work_dirs/net/epoch_7.pth'
    published = source('https://a.pth', WEIGHTS)
    assert choose_teacher_ckpt(published, 'given.pth') == 'given.pth'
    assert choose_teacher_ckpt(published) == 'https://a.pth'
    assert choose_teacher_ckpt(source()) == trained
    assert choose_teacher_ckpt(source(init_cfg=WEIGHTS)) == 'own.pth'
    # What has been trained from them is what the user means to teach.
    Path('work_dirs/net').mkdir(parents=True)
    Path(trained).touch()
    assert choose_teacher_ckpt(source(init_cfg=WEIGHTS)) == trained


def test_a_network_that_loads_its_weights_by_itself():
    teacher = source()
    teacher.cfg.model.pretrained = True
    assert choose_teacher_ckpt(teacher) is None
    assert choose_teacher_ckpt(teacher, 'given.pth') == 'given.pth'
