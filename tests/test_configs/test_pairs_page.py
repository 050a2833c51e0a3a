"""docs/pairs.md: its lines for teachers of other images and classes."""

import re
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmdskd.engine.checks.run_check import check_run
from mmdskd.utils import resolve_auto

PAGE = (Path(__file__).parents[2] / 'docs/pairs.md').read_text()


def blocks(title):
    """The code of a section."""
    section = PAGE.split(f'\n## {title}\n')[1].split('\n## ')[0]
    found = re.findall(r'```python\n(.*?)```', section, re.DOTALL)
    return [textwrap.dedent(text) for text in found]


def read(text):
    """The variables of a block."""
    values = {}
    exec(text, values)
    return {k: v for k, v in values.items() if not k.startswith('__')}


@pytest.fixture
def config(dskd_config):
    dskd_config.train_cfg.max_epochs = 1
    return dskd_config


def test_other_images(config):
    """Those of ImageNet at 224 pixels."""
    (block,) = blocks('A teacher of other images')
    config.merge_from_dict(read(block))
    config.model.teacher.backbone.in_channels = 3
    model = MODELS.build(config.model)
    preprocessor = model.data_preprocessor
    images = preprocessor(dict(inputs=torch.rand(2, 1, 16, 16) * 255))
    images = model.teacher_preprocessor(images['inputs'])
    assert images.shape == (2, 3, 224, 224)
    assert images.abs().max() < 1.5


def test_features_of_a_teacher_of_other_classes(config, build_runner):
    _, block, _ = blocks('A teacher of other classes')
    config.model.type = 'mmdskd.FrozenTeacherDistill'
    config.model.teacher.head.num_classes = 20
    changed = Config(dict(model=read(block)))
    config.merge_from_dict(changed.to_dict())
    runner = build_runner(resolve_auto(config))
    check_run(runner)
    runner.train()
    names = set(runner.message_hub.log_scalars)
    assert 'train/distill.loss_dskd' in names
    weights = {name for name in names if 'weight' in name}
    assert weights == {'train/dskd.weight_feat_0', 'train/dskd.weight_feat_1'}


def test_some_of_the_classes(tmp_path, monkeypatch):
    *_, block = blocks('A teacher of other classes')
    monkeypatch.chdir(tmp_path)
    weights = {
        'head.fc.weight': torch.arange(40.0).view(20, 2),
        'head.fc.bias': torch.arange(20.0),
    }
    torch.save(dict(state_dict=weights), 'teacher.pth')
    exec(block, {})
    found = torch.load('teacher_100.pth', weights_only=True)['state_dict']
    assert found['head.fc.bias'].tolist() == [3, 14, 15]
    assert found['head.fc.weight'].tolist() == [[6, 7], [28, 29], [30, 31]]
