"""Components check their own arguments, also without a config."""

import pytest
from torch import nn

from mmdskd.datasets import Digits, TinyImageNet
from mmdskd.engine import LossWeightSchedulerHook, TeacherEvaluationHook
from mmdskd.models import (
    CIFARVGG,
    AugmentingDataPreprocessor,
    BinaryKLDivergence,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARWideResNet,
    ConvHead,
    DSKDConnector,
    DSKDLoss,
    FeatureMapConnector,
    LossSchedule,
    MultiModuleOutputsRecorder,
    SepConvHead,
    SoftmaxStrategy,
    StandardizedKLDivergence,
)
from mmdskd.models.task_modules.loss_weight_strategies.build import (
    build_strategies,
)

NAN, INF = float('nan'), float('inf')
HEAD = dict(in_channels=4, out_channels=8)
HEADS = dict(in_channels=[4], out_channels=8, strides=[1])
MSE = dict(num_branches=1, feat_loss=nn.MSELoss())


def loss(**cfg) -> dict:
    return dict(num_branches=1, logit_loss=dict(type='KLDivergence', **cfg))


WRONG = [
    (ConvHead, dict(HEAD, in_channels='4'), "in_channels .* but got '4' (a s"),
    (ConvHead, dict(HEAD, in_channels=0), 'in_channels should be a whole'),
    (ConvHead, dict(HEAD, out_channels=8.0), 'out_channels .* but got 8.0'),
    (ConvHead, dict(HEAD, num_classes=0), 'num_classes .* None, but got 0'),
    (ConvHead, dict(HEAD, stride=True), 'stride should be .* got True'),
    (ConvHead, dict(HEAD, stride='2'), "stride should be .* got '2'"),
    (ConvHead, dict(HEAD, out_size=[4]), r'out_size should be .* got \[4\]'),
    (ConvHead, dict(HEAD, kernel_size='3'), "kernel_size .* odd .* got '3'"),
    (ConvHead, dict(HEAD, kernel_size=None), 'kernel_size .* odd .* got None'),
    (SepConvHead, dict(HEAD, bottleneck_ratio='1'), "_ratio .* > 0, .* '1'"),
    (SepConvHead, dict(HEAD, bottleneck_ratio=NAN), '_ratio .* > 0, .* nan'),
    (DSKDConnector, dict(HEADS, layouts=3), 'layouts should be a layout .* 3'),
    (DSKDConnector, dict(HEADS, in_channels='auot'), "did you mean 'auto'?"),
    (DSKDConnector, dict(HEADS, in_channels=['4']), r"in_channels .* \['4'\]"),
    (DSKDConnector, dict(HEADS, out_channels='8'), "out_channels .* got '8'"),
    (
        DSKDConnector,
        dict(HEADS, head=dict(type='mmdskd.ConvHead', kernel=3)),
        'head.kernel should be an argument of ConvHead',
    ),
    (
        DSKDConnector,
        dict(HEADS, head=dict(type='mmdskd.ConvHead', stride=2)),
        'head should leave in_channels, .* but has stride',
    ),
    (DSKDConnector, dict(HEADS, head=dict()), 'head should be .* no type'),
    (FeatureMapConnector, dict(layout=3), 'A layout should be one of .* 3'),
    (DSKDLoss, dict(MSE, num_branches='2'), "num_branches .* but got '2'"),
    (DSKDLoss, dict(MSE, loss_weight=NAN), 'loss_weight .* >= 0, but got nan'),
    (DSKDLoss, dict(MSE, loss_weight=-1), 'loss_weight .* >= 0, but got -1'),
    (DSKDLoss, dict(MSE, loss_weight='1'), "loss_weight .* >= 0, but got '1'"),
    (DSKDLoss, dict(MSE, last_layer='False'), "last_layer .* got 'False'"),
    (DSKDLoss, dict(MSE, reduction='avg'), "reduction .* but got 'avg'"),
    (DSKDLoss, loss(tau='4'), "logit_loss: tau of KLDivergence .* got '4'"),
    (DSKDLoss, loss(tau=NAN), 'logit_loss: tau of KLDivergence .* got nan'),
    (DSKDLoss, loss(loss_weight=-1), 'loss_weight of KLDivergence .* got -1'),
    (DSKDLoss, loss(loss_weight=INF), 'loss_weight of KLDivergence .* inf'),
    (DSKDLoss, loss(loss_weight='1'), 'loss_weight of KLDivergence .* .1.'),
    (LossSchedule, dict(type='liner'), "did you mean 'linear'?"),
    (LossSchedule, dict(type='linear', end='1'), "end .* but got '1'"),
    (LossSchedule.build, dict(cfg=dict(typ='linear')), "did you mean 'type'?"),
    (SoftmaxStrategy, dict(temperature='1'), "temperature .* > 0, .* '1'"),
    (SoftmaxStrategy, dict(temperature=INF), 'temperature .* > 0, .* inf'),
    (SoftmaxStrategy, dict(normalize='False'), "normalize .* got 'False'"),
    (
        build_strategies,
        dict(cfg=dict(type='softmax', temprature=2)),
        "strategy.temprature should be .* did you mean 'temperature'?",
    ),
    (BinaryKLDivergence, dict(loss_weight=-1), 'loss_weight .* 0, .* -1'),
    (BinaryKLDivergence, dict(teacher_detach='False'), "detach .* 'False'"),
    (StandardizedKLDivergence, dict(tau='2'), "tau .* > 0, but got '2'"),
    (StandardizedKLDivergence, dict(tau=0), 'tau .* > 0, but got 0'),
    (StandardizedKLDivergence, dict(reduction='avg'), "one of none, .* 'avg'"),
    (StandardizedKLDivergence, dict(teacher_detach=1), 'True or False, .* 1'),
    (MultiModuleOutputsRecorder, dict(sources='a'), "names, but .* 'a'"),
    (LossWeightSchedulerHook, dict(ema_decay='0.9'), "ema_decay .* '0.9'"),
    (LossWeightSchedulerHook, dict(ema_decay=NAN), 'ema_decay .* got nan'),
    (LossWeightSchedulerHook, dict(interval=True), 'interval .* got True'),
    (LossWeightSchedulerHook, dict(by_epoch='False'), "by_epoch .* 'False'"),
    (LossWeightSchedulerHook, dict(end='5'), "end .* or None, but got '5'"),
    (LossWeightSchedulerHook, dict(begin=0.5), 'begin .* >= 0, but got 0.5'),
    (LossWeightSchedulerHook, dict(loss=3), 'loss .* or None, but got 3'),
    (TeacherEvaluationHook, dict(enabled='False'), "enabled .* 'False'"),
    (CIFARResNet, dict(depth=8, in_channels='3'), "in_channels .* got '3'"),
    (CIFARResNet, dict(depth=8, norm_eval='False'), "norm_eval .* 'False'"),
    (CIFARResNet, dict(depth=8, stem_channels=0), 'stem_channels .* got 0'),
    (CIFARResNet, dict(depth=8, norm_cfg='BN'), "norm_cfg .* got 'BN'"),
    (CIFARWideResNet, dict(depth=16, in_channels=0), 'in_channels .* got 0'),
    (CIFARVGG, dict(depth=8, act_cfg='ReLU'), "act_cfg .* got 'ReLU'"),
    (CIFARMobileNetV2, dict(widen_factor=NAN), 'widen_factor .* got nan'),
    (AugmentingDataPreprocessor, dict(mean=[0], std=[-1]), r'std .* \[-1\]'),
    (AugmentingDataPreprocessor, dict(mean=[0], std=[NAN]), r'std .* \[nan\]'),
    (AugmentingDataPreprocessor, dict(mean=['0'], std=[1]), r'mean .* \[.0'),
    (Digits, dict(split='val'), "split should be one of .* 'val'"),
    (
        TinyImageNet,
        dict(data_root='data', check_complete='False'),
        "check_complete .* 'False'",
    ),
]


@pytest.mark.parametrize(('component', 'arguments', 'message'), WRONG)
def test_a_wrong_argument_is_told(component, arguments, message):
    message = message.replace('(', r'\(').replace('?', r'\?')
    with pytest.raises((TypeError, ValueError), match=message):
        component(**arguments)
