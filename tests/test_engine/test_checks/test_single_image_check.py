import copy
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from mmdskd.engine.checks.single_image_check import (
    check_single_image,
    last_batch_size,
)
from mmdskd.models import FrozenTeacherDistill

HEAD = 'distiller.connectors.heads.heads.0.projector.1'


@pytest.fixture
def make(dskd_config, build_runner, monkeypatch):
    """Make a run whose teacher's feature is 1x1; return its warnings."""

    def run(images=41, batch_size=20, out_size=1, head=None, **loader):
        cfg = dskd_config
        cfg.train_dataloader.dataset.indices = images
        cfg.train_dataloader.batch_size = batch_size
        cfg.train_dataloader.update(loader)
        cfg.train_cfg.max_epochs = 1
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        cfg.model.type = 'mmdskd.FrozenTeacherDistill'
        cfg.model.teacher_ckpt = None
        # Its last feature, by a stride of 4 on maps of 4x4.
        cfg.model.teacher.backbone.strides = (2, 2, 4)
        heads = cfg.model.distiller.connectors.heads
        del heads['strides']
        heads.out_size = out_size
        if head:
            heads.head = dict(type=head)
        runner = build_runner(cfg)
        warnings = []
        monkeypatch.setattr(runner.logger, 'warning', warnings.append)
        return runner, warnings

    return run


def test_last_batch_of_one_image(make):
    runner, _ = make()
    with pytest.raises(ValueError) as error:
        check_single_image(runner)
    assert str(error.value) == (
        'The last batch of an epoch has one image (41 images in batches of '
        f"20), of which batch norm '{HEAD}' gets one value per channel, as "
        'its map is 1x1, which torch refuses: set '
        'train_dataloader.drop_last=True, or another batch_size. Or take '
        "heads without batch norm, head=dict(type='mmdskd.LinearHead') of "
        'the mmdskd.DSKDConnector.'
    )
    # It is so.
    data = runner.model.data_preprocessor(
        dict(
            inputs=[torch.zeros(1, 16, 16)],
            data_samples=[DataSample().set_gt_label(0)],
        ),
        True,
    )
    with pytest.raises(ValueError, match='Expected more than 1 value per'):
        runner.model.train()(**data, mode='loss')
    # A run without our tools is checked, too.
    with pytest.raises(ValueError, match='The last batch of an epoch has one'):
        runner.train()


def test_batches_of_one_image(make):
    runner, _ = make(images=4, batch_size=1)
    with pytest.raises(
        ValueError,
        match=f"train_dataloader.batch_size is 1, and batch norm '{HEAD}' "
        'gets one value per channel, as its map is 1x1, which torch refuses: '
        'set a larger batch_size. Or take heads without batch norm',
    ):
        check_single_image(runner)


def test_batches_of_two_images_learn_next_to_nothing(make):
    runner, warnings = make(images=4, batch_size=2)
    check_single_image(runner)
    [warning] = warnings
    assert warning.startswith(
        f"train_dataloader.batch_size is 2, and batch norm '{HEAD}' gets two "
        'values per channel, as its map is 1x1: what is before it learns '
        'next to nothing. Set a larger batch_size. Or take heads'
    )


@pytest.mark.parametrize(
    'changes',
    [
        dict(images=40),
        dict(drop_last=True),
        dict(out_size=2),
        dict(head='mmdskd.LinearHead'),
        dict(sampler=dict(type='InfiniteSampler', shuffle=True)),
    ],
)
def test_what_trains_passes(make, changes):
    runner, warnings = make(**changes)
    check_single_image(runner)
    assert warnings == []


def test_plain_network(kd_config, build_runner):
    """A batch norm of the student itself; no heads to change."""
    kd_config.model = dict(
        type='ImageClassifier',
        data_preprocessor=kd_config.model.data_preprocessor,
        backbone=dict(kd_config.model.architecture.backbone),
        neck=[
            dict(type='GlobalAveragePooling'),
            dict(type='LinearNeck', in_channels=16, out_channels=8),
        ],
        head=dict(type='LinearClsHead', num_classes=10, in_channels=8),
    )
    kd_config.train_dataloader.dataset.indices = 21
    kd_config.train_dataloader.batch_size = 20
    with pytest.raises(
        ValueError,
        match=r"\(21 images in batches of 20\), of which batch norm '.*' gets "
        'one value per channel.*or another batch_size.$',
    ):
        check_single_image(build_runner(kd_config))


def test_the_training_is_left_as_it_is(make):
    runner, _ = make(out_size=2)  # the check runs, and finds nothing
    model = runner.model
    before = copy.deepcopy(model.state_dict())
    teacher = copy.deepcopy(model.teacher.state_dict())
    states = random.getstate(), np.random.get_state()[1], torch.get_rng_state()
    hooks = sum(len(m._forward_pre_hooks) for m in model.modules())
    check_single_image(runner)
    assert isinstance(model, FrozenTeacherDistill)
    assert not model.teacher_forward.is_prepared
    assert hooks == sum(len(m._forward_pre_hooks) for m in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, teacher[name])
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    'kwargs, size',
    [
        (dict(batch_size=4), 2),
        (dict(batch_size=5), 5),
        (dict(batch_size=9), 1),
        (dict(batch_size=9, drop_last=True), 9),
        (dict(batch_size=None), None),
    ],
)
def test_last_batch(kwargs, size):
    assert last_batch_size(DataLoader(range(10), **kwargs)) == size


def test_last_batch_of_samplers():
    data = list(range(10))
    for sampler, size in ((DefaultSampler, 1), (InfiniteSampler, 9)):
        loader = DataLoader(data, batch_size=9, sampler=sampler(data))
        assert last_batch_size(loader) == size
