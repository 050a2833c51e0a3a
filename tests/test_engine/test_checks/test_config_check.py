"""Configs that are right are not refused, and what is said of others."""

import copy
import glob
import warnings
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import SGD

from mmdskd.engine.checks.config_check import (
    ConfigError,
    check_config,
    merge_options,
)
from mmdskd.models import DSKDLoss
from mmdskd.registry import HOOKS, MODELS

ROOT = Path(__file__).parents[3]
CONFIGS = sorted(
    path.relative_to(ROOT)
    for method in ('vanilla', 'kd', 'dskd', 'mix')
    for path in (ROOT / 'configs' / method).rglob('*.py')
)
PACKAGE = Path(mmpretrain.__file__).parent / '.mim' / 'configs'
# Families of image classifiers, whose packages are all there.
FAMILIES = (
    'resnet',
    'resnext',
    'seresnet',
    'vgg',
    'mobilenet_v2',
    'mobilenet_v3',
    'shufflenet_v2',
    'efficientnet',
    'densenet',
    'deit',
    'vision_transformer',
    'swin_transformer',
    'convnext',
    'repvgg',
    'regnet',
    'wrn',
    'mixmim',
    'simclr',
    'mae',
)
FAMILY_CONFIGS = sorted(
    Path(path)
    for family in FAMILIES
    for path in glob.glob(str(PACKAGE / family / '*.py'))
)
# As they are shipped: no scope, or a type that the package no longer has.
BROKEN = ('_headless', 'resnet50_8xb32-cutmix', '_dinov2')


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_configs_of_the_repository_pass(path):
    check_config(Config.fromfile(ROOT / path))


@pytest.mark.skipif(not FAMILY_CONFIGS, reason='mmpretrain has no configs')
@pytest.mark.parametrize('family', FAMILIES)
def test_configs_of_mmpretrain_pass(family):
    checked = 0
    for path in FAMILY_CONFIGS:
        if path.parent.name != family or any(n in path.name for n in BROKEN):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            cfg = Config.fromfile(path)
        try:
            check_config(cfg)
        except ConfigError as error:
            pytest.fail(f'{path}: {error}')
        checked += 1
    assert checked


def test_what_one_of_their_configs_names_wrongly():
    """BatchCutMix is of MMClassification 0.x."""
    (path,) = (PACKAGE / 'resnet').glob('resnet50_8xb32-cutmix_in1k.py')
    with pytest.raises(ConfigError, match="'BatchCutMix'; did you mean"):
        check_config(Config.fromfile(path))


def test_a_dumped_config_passes(dskd_config, tmp_path):
    dskd_config.dump(tmp_path / 'config.py')
    check_config(Config.fromfile(tmp_path / 'config.py'))


def test_a_dict_passes(dskd_config):
    check_config(dskd_config.to_dict())


def test_types_that_are_objects(dskd_config):
    losses = dskd_config.model.distiller.distill_losses
    losses.loss_dskd.type = DSKDLoss
    dskd_config.optim_wrapper.optimizer.type = SGD
    check_config(dskd_config)
    losses.loss_dskd.reduction = 'max'
    with pytest.raises(ConfigError, match=r'loss_dskd\.reduction should be'):
        check_config(dskd_config)
    losses.loss_dskd.type = 3
    with pytest.raises(ConfigError, match=r'the class, but got 3'):
        check_config(dskd_config)


@pytest.fixture
def register():
    """Register classes for one test."""
    names = []

    def add(registry, component):
        registry.register_module(module=component)
        names.append((registry, component.__name__))
        return component

    yield add
    for registry, name in names:
        registry.module_dict.pop(name)


def test_components_of_ones_own(dskd_config, register):
    class OpenLoss(nn.Module):
        def __init__(self, kind='a', **kwargs):
            super().__init__()
            self.settings = kwargs

    class ClosedHook:
        def __init__(self, period: int, mode='fast'):
            pass

    register(MODELS, OpenLoss)
    register(HOOKS, ClosedHook)
    losses = dskd_config.model.distiller.distill_losses
    losses.loss_kd = dict(type='mmdskd.OpenLoss', kindd='b', anything=[1])
    hook = dict(type='mmdskd.ClosedHook', period=3)
    dskd_config.custom_hooks.append(hook)
    check_config(dskd_config)
    del dskd_config.custom_hooks[-1]['period']
    with pytest.raises(ConfigError, match=r'\.period should be given, as Cl'):
        check_config(dskd_config)
    dskd_config.custom_hooks[-1].update(period='3', mod='slow')
    with pytest.raises(ConfigError) as raised:
        check_config(dskd_config)
    assert str(raised.value).splitlines() == [
        'The config has 2 mistakes:',
        '- custom_hooks[1].mod should be an argument of ClosedHook, but it '
        "has period, mode, priority; did you mean 'mode'?",
        "- custom_hooks[1].period should be of type int, but got '3' (a "
        'string: write it without quotes).',
    ]


def test_arguments_that_a_base_class_gets(dskd_config, register):
    """``**kwargs`` are followed only where they are handed on alone."""

    class Base(nn.Module):
        def __init__(self, width=1, depth=1):
            super().__init__()

    class HandsOn(Base):
        def __init__(self, **kwargs):
            super().__init__(depth=2, **kwargs)

    class TakesOut(Base):
        def __init__(self, **kwargs):
            kwargs.pop('extra', None)
            super().__init__(**kwargs)

    for component in (HandsOn, TakesOut):
        register(MODELS, component)
    losses = dskd_config.model.distiller.distill_losses
    losses.loss_kd = dict(type='mmdskd.TakesOut', extra=1)
    check_config(dskd_config)
    losses.loss_kd = dict(type='mmdskd.HandsOn', width=3)
    check_config(dskd_config)
    for wrong in ('extra', 'depth'):
        losses.loss_kd = {'type': 'mmdskd.HandsOn', wrong: 1}
        with pytest.raises(ConfigError, match=f'{wrong} should be an argum'):
            check_config(dskd_config)


def test_variables_of_ones_own(dskd_config):
    """A name near one that is read passes where its value is used."""
    dskd_config.max_epochs = 3
    dskd_config.teacher_model = copy.deepcopy(dskd_config.model.teacher)
    dskd_config.train_pipeline = []
    dskd_config.train_cfgs = copy.deepcopy(dskd_config.train_cfg)
    check_config(dskd_config)
    dskd_config.train_cfgs.max_epochs = 8
    with pytest.raises(ConfigError, match="train_cfgs .* mean 'train_cfg'?"):
        check_config(dskd_config)


def test_a_constructor_of_ones_own(dskd_config):
    """It reads of the optimizer wrapper what it likes."""
    dskd_config.optim_wrapper = dict(
        constructor='mmrazor.SeparateOptimWrapperConstructor',
        architecture=dict(optimizer=dict(type='SGD', lr=0.1)),
        mutator=dict(optimizer=dict(type='Adam', lr=1e-3)),
    )
    assert OPTIM_WRAPPER_CONSTRUCTORS.get(
        'mmrazor.SeparateOptimWrapperConstructor'
    )
    check_config(dskd_config)
    dskd_config.optim_wrapper.mutator.optimizer.lr = 'nan'
    with pytest.raises(
        ConfigError, match=r'optim_wrapper\.mutator\.optimizer\.lr should be'
    ):
        check_config(dskd_config)


def test_schedules_of_others_may_begin_after_a_trial(dskd_config):
    """Of one epoch, say, with the recipe of a long training."""
    dskd_config.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, end=5),
        dict(type='CosineAnnealingLR', begin=5),
    ]
    with pytest.warns(UserWarning, match=r'\[1\]\.begin is 5, .* 3 epochs'):
        check_config(dskd_config)


@pytest.mark.parametrize('begin, warns', [(2, False), (3, True)])
def test_checkpoints_that_begin_after_the_end(dskd_config, begin, warns):
    dskd_config.default_hooks.checkpoint.save_begin = begin
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        check_config(dskd_config)
    assert [str(each.message) for each in caught] == [
        'default_hooks.checkpoint.save_begin is 3, but the run has 3 epochs: '
        'no checkpoint is saved before its end.'
    ] * warns


def test_options_that_are_read(dskd_config):
    merge_options(
        dskd_config,
        {
            'evaluate_teacher': False,
            'randomness.seed': 3,
            'custom_hooks.0.begin': 2,
            'model.distiller.distill_losses.loss_dskd.schedule.stop': 0.5,
            'optim_wrapper.clip_grad.max_norm': 5.0,
            'find_unused_parameters': True,
        },
    )
    check_config(dskd_config)
    assert dskd_config.custom_hooks[0].begin == 2


def test_an_option_of_no_effect_changes_nothing(dskd_config):
    with pytest.raises(ConfigError, match='optim_wraper'):
        merge_options(dskd_config, {'optim_wraper.optimizer.lr': 0.1})
    assert 'optim_wraper' not in dskd_config


def test_infinite_norms_are_meant(dskd_config):
    """An infinite limit logs the norm alone, and an infinite norm is the
    largest gradient."""
    inf = float('inf')
    dskd_config.optim_wrapper.clip_grad = dict(max_norm=inf, norm_type=inf)
    check_config(dskd_config)


def test_arguments_of_losses_are_no_components(dskd_config):
    """``WSLD`` names them ``student`` and ``teacher``."""
    distiller = dskd_config.model.distiller
    distiller.distill_losses.loss_kd = dict(type='WSLD', tau=4, num_classes=10)
    distiller.loss_forward_mappings.loss_kd = dict(
        student=dict(from_student=True, recorder='logits'),
        teacher=dict(from_student=False, recorder='logits'),
        gt_labels=dict(from_student=True, recorder='gt_labels', data_idx=1),
    )
    check_config(dskd_config)
