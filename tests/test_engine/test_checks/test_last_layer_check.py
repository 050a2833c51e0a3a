"""Trainings with the last layer as a branch, and what is refused before."""

import json
from pathlib import Path

import pytest
import torch
from mmrazor.registry import MODELS

from mmdskd.engine.checks.distillation_check import check_distillation
from mmdskd.pairing.auto import resolve_auto

LOGITS = dict(from_student=True, recorder='logits')


@pytest.fixture
def last_config(dskd_config):
    """DSKD over the last layer, too, in place of KD on it."""
    distiller = dskd_config.model.distiller
    del distiller.distill_losses['loss_kd']
    del distiller.loss_forward_mappings['loss_kd']
    distiller.student_recorders.last_feat = dict(
        type='ModuleOutputs', source='backbone.layer3'
    )
    distiller.connectors.last = dict(
        type='ConvModuleConnector',
        in_channel=16,
        out_channel=32,
        norm_cfg=dict(type='BN'),
    )
    distiller.distill_losses.loss_dskd.update(
        last_layer=True, reduction='mean'
    )
    distiller.loss_forward_mappings.loss_dskd.update(
        preds_S=LOGITS,
        feat_S=dict(from_student=True, recorder='last_feat', connector='last'),
    )
    dskd_config.custom_hooks[0].strategy = dict(
        type='softmax', normalize=False
    )
    return dskd_config


def check(cfg):
    check_distillation(MODELS.build(cfg.model))


def test_it_trains(last_config, build_runner):
    """Three weights per term, which average to 1, are logged; the last layer
    learns from them."""
    cfg = last_config
    cfg.model.distiller.distill_losses.loss_dskd.pop('num_branches')
    cfg.train_cfg.max_epochs = 1
    runner = build_runner(resolve_auto(cfg))
    loss = runner.model.distiller.distill_losses['loss_dskd']
    assert loss.num_branches == 2
    convolution = runner.model.distiller.connectors['last']
    before = {k: v.clone() for k, v in convolution.state_dict().items()}
    runner.train()
    for name, _ in convolution.named_parameters():
        assert not torch.equal(convolution.state_dict()[name], before[name])
    for term in ('logit', 'feat'):
        weights = loss.allocation[term].weights
        assert weights.shape == (3,)
        assert weights.sum().item() == pytest.approx(3, rel=1e-5)
        assert not torch.equal(weights, torch.ones(3))
    [log] = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    line = [line for line in lines if 'dskd.logit_2' in line][-1]
    assert {'dskd.feat_2', 'dskd.weight_logit_2', 'dskd.weight_feat_2'} <= (
        set(line)
    )
    assert 'dskd.logit_3' not in line


def test_a_missing_feature_is_reported(last_config):
    mapping = last_config.model.distiller.loss_forward_mappings.loss_dskd
    del mapping['feat_S']
    with pytest.raises(
        ValueError,
        match='loss_dskd should give branches, preds_T, feat_T, preds_S, '
        'feat_S, but feat_S is missing',
    ):
        check(last_config)


def test_what_gets_no_gradient_is_reported(last_config):
    del last_config.model.distiller.distill_losses.loss_dskd['feat_loss']
    with pytest.raises(
        ValueError,
        match='should give branches, preds_T, preds_S only, but also gives '
        'feat_S: remove it, and its connector',
    ):
        check(last_config)


def test_last_layer_is_switched_on_by_the_loss(last_config):
    losses = last_config.model.distiller.distill_losses
    losses.loss_dskd.last_layer = False
    with pytest.raises(
        ValueError, match='also gives preds_S: .* set last_layer=True'
    ):
        check(last_config)


def test_the_last_layer_is_the_students(last_config):
    mapping = last_config.model.distiller.loss_forward_mappings.loss_dskd
    mapping.preds_S.from_student = False
    with pytest.raises(
        ValueError, match='loss_dskd.preds_S.from_student should be True'
    ):
        check(last_config)


def test_a_teacher_is_needed(last_config):
    last_config.model.type = 'mmrazor.SelfDistill'
    for key in ('teacher', 'teacher_ckpt'):
        last_config.model.pop(key, None)
    with pytest.raises(
        ValueError,
        match='last_layer of loss_dskd should be False in SelfDistill',
    ):
        check(last_config)


def add_kd(cfg, recorder, **loss):
    distiller = cfg.model.distiller
    distiller.student_recorders.again = dict(
        type='ModuleOutputs', source='head.fc'
    )
    distiller.distill_losses.loss_kd = dict(
        dict(type='KLDivergence', tau=4), **loss
    )
    distiller.loss_forward_mappings.loss_kd = dict(
        preds_S=dict(LOGITS, recorder=recorder),
        preds_T=dict(from_student=False, recorder='logits'),
    )


@pytest.mark.parametrize('recorder', ['logits', 'again'])
def test_kd_beside_it_is_reported(last_config, recorder):
    add_kd(last_config, recorder)
    with pytest.raises(
        ValueError,
        match=r'loss_dskd has last_layer=True.*but loss_kd \(KLDivergence\) '
        'distils them as well: remove loss_kd',
    ):
        check(last_config)


def test_kd_of_weight_0_or_of_another_layer_passes(last_config):
    add_kd(last_config, 'logits', loss_weight=0.0)
    check(last_config)
    distiller = last_config.model.distiller
    distiller.distill_losses.loss_kd = dict(type='PKDLoss')
    distiller.loss_forward_mappings.loss_kd.update(
        preds_S=dict(from_student=True, recorder='last_feat'),
        preds_T=dict(from_student=False, recorder='feat'),
    )
    check(last_config)
