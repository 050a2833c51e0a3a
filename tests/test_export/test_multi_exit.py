import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdskd.export.multi_exit import (
    extract_multi_exit,
    find_exits,
    make_multi_exit_config,
    multi_exit_path,
)
from mmdskd.export.student_config import make_student_config
from mmdskd.export.student_weights import extract_student


@pytest.fixture
def checkpoint(dskd_config):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        algorithm = MODELS.build(copy.deepcopy(dskd_config.model))
    return dict(meta=dict(epoch=1), state_dict=algorithm.state_dict())


def test_path():
    assert multi_exit_path('runs/a.b/epoch_1.pth') == (
        'runs/a.b/epoch_1_multi_exit.pth'
    )


def test_exits_are_those_of_the_distillation(dskd_config):
    exits = find_exits(dskd_config)
    distiller = dskd_config.model.distiller
    assert exits.connector == 'heads'
    assert exits.config == dict(
        sources=distiller.student_recorders.shallow.sources,
        connector=distiller.connectors.heads.to_dict(),
    )


def test_config_is_the_students_with_another_model(dskd_config):
    before = copy.deepcopy(dskd_config.to_dict())
    exits = find_exits(dskd_config)
    cfg = make_multi_exit_config(dskd_config, exits, [0.5, 0.75])
    assert dskd_config.to_dict() == before
    ours, plain = cfg.to_dict(), make_student_config(dskd_config).to_dict()
    assert ours['custom_imports']['imports'] == ['mmdskd']
    assert ours['model'].pop('type') == 'mmdskd.MultiExitClassifier'
    assert plain['model'].pop('type') == 'ImageClassifier'
    assert ours['model'].pop('exits') == exits.config
    assert ours['model'].pop('threshold') == [0.5, 0.75]
    assert ours == plain


@pytest.mark.parametrize(
    'imports, expected',
    [
        (['mmdskd', 'mine'], ['mmdskd', 'mine']),
        (['mmdskd'], ['mmdskd']),
        ('mine', ['mmdskd', 'mine']),
    ],
)
def test_package_is_imported(dskd_config, imports, expected):
    """Also where the plain student does without it."""
    dskd_config.custom_imports.imports = imports
    dskd_config.model.architecture.backbone = dict(type='ResNet_CIFAR')
    for key in ('train', 'val', 'test'):
        dskd_config[f'{key}_dataloader'] = None
    cfg = make_multi_exit_config(dskd_config, find_exits(dskd_config))
    assert cfg.custom_imports.imports == expected


def test_weights_fill_the_model(dskd_config, checkpoint):
    exits = find_exits(dskd_config)
    cfg = make_multi_exit_config(dskd_config, exits)
    found = extract_multi_exit(checkpoint, exits, cfg)
    assert found['meta']['cfg'] == cfg.pretty_text
    plain = extract_student(checkpoint)['state_dict']
    for name, value in found['state_dict'].items():
        theirs = plain.get(name)
        if theirs is None:
            theirs = checkpoint['state_dict'][
                name.replace('exits.', 'distiller.connectors.heads.')
            ]
        assert torch.equal(value, theirs)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(found['state_dict'], strict=True)


@pytest.fixture
def two_losses(dskd_config):
    distiller = dskd_config.model.distiller
    distiller.connectors.others = dict(
        distiller.connectors.heads, head=dict(type='mmdskd.ConvHead')
    )
    distiller.distill_losses.loss_other = distiller.distill_losses.loss_dskd
    distiller.loss_forward_mappings.loss_other = copy.deepcopy(
        distiller.loss_forward_mappings.loss_dskd
    )
    distiller.loss_forward_mappings.loss_other.branches.connector = 'others'
    return dskd_config


def test_one_of_two_losses(two_losses):
    exits = find_exits(two_losses, 'loss_other')
    assert exits.connector == 'others'
    assert exits.config['connector']['head'] == dict(type='mmdskd.ConvHead')


@pytest.mark.parametrize('loss', [None, 'loss_kd'])
def test_which_loss_is_told(two_losses, loss):
    with pytest.raises(
        ValueError,
        match='one of the DSKD losses of the config, '
        f'loss_dskd, loss_other, but got {loss}',
    ):
        find_exits(two_losses, loss)


def test_config_without_exits(kd_config, dskd_config):
    plain = Config(dict(model=kd_config.model.architecture))
    del dskd_config.model.distiller.distill_losses['loss_dskd']
    for cfg in (dskd_config, plain, Config(dict(a=1))):
        with pytest.raises(ValueError, match='with a mmdskd.DSKDLoss in'):
            find_exits(cfg)


def test_heads_without_classifiers(dskd_config):
    dskd_config.model.distiller.connectors['heads'].num_classes = None
    with pytest.raises(
        ValueError,
        match='loss_dskd should have classifiers to be exits'
        ", but connector 'heads' has num_classes=None",
    ):
        find_exits(dskd_config)


def test_student_of_another_kind(dskd_config):
    exits = find_exits(dskd_config)
    dskd_config.model.architecture = dict(
        type='TimmClassifier', _scope_='mmpretrain', model_name='resnet18'
    )
    with pytest.raises(TypeError, match='but got TimmClassifier'):
        make_multi_exit_config(dskd_config, exits)


def test_checkpoint_without_the_heads(dskd_config, checkpoint):
    exits = find_exits(dskd_config)
    state_dict = checkpoint['state_dict']
    for number, prefix in (
        (1, 'distiller.connectors.heads.heads.1'),
        (0, 'distiller.connectors.heads'),
    ):
        for name in list(state_dict):
            if name.startswith(prefix):
                del state_dict[name]
        with pytest.raises(
            ValueError,
            match='should hold 2 heads under "distiller.conn'
            r'ectors.heads.", for backbone.layer1, .*, but holds '
            f'{number}',
        ):
            extract_multi_exit(checkpoint, exits)
    with pytest.raises(ValueError, match='it needs no conversion'):
        extract_multi_exit(extract_student(checkpoint), exits)


def test_a_student_of_several_labels_gets_no_exits(dskd_config):
    dskd_config.model.architecture.head = dict(
        type='MultiLabelLinearClsHead', num_classes=10, in_channels=16
    )
    with pytest.raises(
        ValueError,
        match='The student should give one label per image to get exits, as '
        'they compare softmax probabilities, but its head, '
        'MultiLabelLinearClsHead, gives several',
    ):
        make_multi_exit_config(dskd_config, find_exits(dskd_config))
