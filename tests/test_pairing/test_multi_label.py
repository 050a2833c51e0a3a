"""Pairs with several labels per image."""

import re

import pytest
from mmengine.config import Config
from plain_configs import RESNET, RUN, SMALL_RESNET, write

from mmdskd.pairing.dry_run import try_training
from mmdskd.pairing.dskd_config import DSKDConfig
from mmdskd.pairing.source_config import load_source_config

LINEAR = dict(type='MultiLabelLinearClsHead', num_classes=10)
CSRA = dict(type='CSRAClsHead', num_classes=10, num_heads=2, lam=0.1)
METRIC = dict(type='MultiLabelMetric')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def network(base, head, **kwargs):
    channels = base['head']['in_channels']
    return dict(base, head=dict(head, in_channels=channels), **kwargs)


def make(student, teacher, **run):
    names = (
        write('student', student, **run),
        write('teacher', teacher, **run),
    )
    return DSKDConfig(*map(load_source_config, names))


@pytest.mark.parametrize(
    'head, changes', [(LINEAR, {}), (CSRA, dict(neck=None))]
)
def test_losses_of_each_class(head, changes):
    made = make(
        network(SMALL_RESNET, head, **changes),
        network(SMALL_RESNET, head, **changes),
        val_evaluator=METRIC,
    )
    assert made.multi_label
    losses = made.load().model.distiller.distill_losses
    binary = dict(type='mmdskd.BinaryKLDivergence', tau=1, loss_weight=1.0)
    assert losses.loss_kd == losses.loss_dskd.logit_loss == binary
    assert "'KLDivergence'" not in made.to_text('dskd.py')
    found = try_training(made.load(), (3, 32, 32), 10)
    assert all(values['distill.loss_kd'] > 0 for values in found)


def test_one_label():
    made = make(SMALL_RESNET, RESNET)
    assert not made.multi_label
    assert "'KLDivergence'" in made.to_text('dskd.py')


@pytest.mark.parametrize(
    'student, teacher, message',
    [
        (
            network(SMALL_RESNET, LINEAR),
            RESNET,
            'both several, but the student has several '
            '(MultiLabelLinearClsHead), the teacher has one (LinearClsHead): '
            'their logits mean different things. Take two that were made for '
            'the same data',
        ),
        (SMALL_RESNET, network(RESNET, LINEAR), 'the teacher has several (M'),
    ],
)
def test_networks_of_two_kinds(student, teacher, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(student, teacher)


@pytest.mark.parametrize(
    'run, part',
    [
        (dict(val_evaluator=METRIC), 'MultiLabelMetric'),
        (
            dict(val_evaluator=[METRIC, dict(type='AveragePrecision')]),
            'MultiLabelMetric',
        ),
        (
            dict(
                train_dataloader=dict(
                    dataset=dict(
                        type='RepeatDataset',
                        times=2,
                        dataset=dict(
                            RUN['train_dataloader']['dataset'],
                            type='mmpretrain.VOC',
                        ),
                    )
                )
            ),
            'VOC',
        ),
    ],
)
def test_data_of_several_labels_for_heads_of_one(run, part):
    run = {**RUN, **run}
    names = [
        write_run(name, model, run)
        for name, model in (('student', SMALL_RESNET), ('teacher', RESNET))
    ]
    with pytest.raises(
        ValueError,
        match=re.escape(
            f'student.py is for several labels per image ({part}), but the '
            'head of the student, LinearClsHead, predicts one: take a '
            'MultiLabelLinearClsHead or a CSRAClsHead for both networks'
        ),
    ):
        DSKDConfig(*map(load_source_config, names))


def write_run(name, model, run):
    Config(dict(run, model=model)).dump(f'{name}.py')
    return f'{name}.py'
