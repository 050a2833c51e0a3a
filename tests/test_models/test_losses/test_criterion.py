"""The losses within DSKD: how they are built, checked and called."""

import sys
import traceback

import pytest
import torch
from mmrazor.models import losses
from test_models.test_losses.inputs import CE, KL, MSE, K, L, N, build, data
from torch import nn

from mmdskd.registry import MODELS


def test_labels_go_by_name_to_losses_that_take_them():
    branches, teacher = data()
    cfg = dict(type='DKDLoss', tau=4, beta=8)
    loss = build(logit_loss=cfg)
    assert loss.needs == ['branches', 'preds_T', 'gt_labels']
    loss(branches, preds_T=teacher['preds_T'], gt_labels=teacher['gt_labels'])
    dkd = MODELS.build(dict(cfg, _scope_='mmrazor'))
    assert loss.last_losses['logit'][0].item() == pytest.approx(
        dkd(
            branches[0].logits, teacher['preds_T'], teacher['gt_labels']
        ).item()
    )


def test_signatures_are_read_once(monkeypatch):
    branches, teacher = data()
    loss = build(logit_loss=dict(type='DKDLoss'), feat_loss=MSE, label_loss=CE)
    expected = loss(branches, **teacher)

    def refuse(*args, **kwargs):
        raise AssertionError('read in forward')

    monkeypatch.setattr('inspect.signature', refuse)
    assert torch.equal(loss(branches, **teacher), expected)


def test_soft_labels_are_refused_where_they_cannot_be_used():
    branches, teacher = data()
    loss = build(logit_loss=dict(type='DKDLoss', tau=4))
    with pytest.raises(
        ValueError,
        match=r'DKDLoss takes class indices \(N, \), but got labels '
        r'\(6, 5\), as mixup',
    ):
        loss(
            branches,
            preds_T=teacher['preds_T'],
            gt_labels=torch.full((N, K), 1 / K),
        )


class Chatty(nn.Module):
    def forward(self, student, teacher, data_samples):
        return student.mean()


class Lonely(nn.Module):
    def forward(self, student):
        return student.mean()


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(), 'at least one of logit_loss, feat_loss and label_loss'),
        (
            dict(logit_loss=[KL]),
            r'logit_loss should be one config, or one per '
            r'branch \(3\), but got a list of 1',
        ),
        (
            dict(logit_loss=dict(KL, tau=0)),
            'logit_loss: tau of KLDivergence should be a number > 0, but got '
            '0',
        ),
        (
            dict(logit_loss=dict(KL, tau=-1)),
            'should be a number > 0, but got -1',
        ),
        (
            dict(feat_loss=Chatty()),
            'feat_loss: forward of Chatty should take '
            r'\(student, teacher\).*'
            r'it takes \(student, teacher, data_samples\)',
        ),
        (dict(feat_loss=Lonely()), 'forward of Lonely should take'),
    ],
)
def test_wrong_config(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(**cfg)


def test_choices_are_those_that_can_be_called():
    with pytest.raises(ValueError) as info:
        build(logit_loss=dict(type='CRDLoss', neg_num=2, sample_n=4))
    message = str(info.value)
    assert 'it takes (s_feats, t_feats, data_samples). Of MMRazor' in message
    choices = message.partition('these do: ')[2].partition(';')[0].split(', ')
    assert set(losses.__all__) - set(choices) == {
        'ActivationLoss',
        'CRDLoss',
        'InformationEntropyLoss',
        'OnehotLikeLoss',
    }
    assert message.endswith(
        'docs/losses.md tells which losses of MMRazor fit where'
    )


@pytest.mark.parametrize(
    'cfg, error, message, shapes',
    [
        (
            dict(logit_loss=dict(type='PKDLoss')),
            IndexError,
            'tuple index out of range',
            'logit_loss called PKDLoss on tensors of shapes (6, 5), (6, 5)',
        ),
        (
            dict(feat_loss=dict(type='DKDLoss')),
            RuntimeError,
            'Index tensor must have the same number of dimensions',
            'feat_loss called DKDLoss on tensors of shapes (6, 3, 2, 2), (6, '
            '3, 2, 2)',
        ),
        (
            dict(logit_loss=dict(type='WSLD', num_classes=7)),
            RuntimeError,
            'The size of tensor a',
            'logit_loss called WSLD on tensors of shapes (6, 5), (6, 5)',
        ),
    ],
)
def test_a_loss_that_is_for_other_tensors_is_named(
    cfg, error, message, shapes
):
    branches, teacher = data()
    with pytest.raises(error, match=message) as info:
        build(label_loss=CE, **cfg)(branches, **teacher)
    if sys.version_info >= (3, 11):
        assert info.value.__notes__ == [
            f'Branch 0: {shapes}; docs/losses.md tells which losses of '
            'MMRazor fit where'
        ]


class DeviceError(RuntimeError):
    """As torch raises for an asynchronous error of the device."""


@pytest.mark.parametrize(
    'raised',
    [
        torch.cuda.OutOfMemoryError('out of memory'),
        DeviceError('CUDA error: device-side assert triggered'),
        RuntimeError('NPU out of memory'),
        KeyError('mine'),
    ],
)
def test_errors_in_a_loss_pass_unchanged(raised):

    class Broken(nn.Module):
        def forward(self, student, teacher):
            raise raised

    branches, teacher = data()
    with pytest.raises(type(raised)) as info:
        build(logit_loss=Broken())(branches, **teacher)
    assert info.value is raised
    assert raised.__cause__ is raised.__context__ is None
    frames = traceback.extract_tb(raised.__traceback__)
    assert frames[-1].line == 'raise raised'


@pytest.mark.parametrize(
    'term, name',
    [
        *(
            ('logit', name)
            for name in (
                'CrossEntropyLoss',
                'DISTLoss',
                'DKDLoss',
                'KDSoftCELoss',
                'KLDivergence',
                'WSLD',
            )
        ),
        *(
            ('feat', name)
            for name in (
                'ATLoss',
                'ChannelWiseDivergence',
                'FTLoss',
                'MGDLoss',
                'OFDLoss',
                'PKDLoss',
            )
        ),
        *(
            (term, name)
            for term in ('logit', 'feat')
            for name in (
                'ABLoss',
                'AngleWiseRKD',
                'DistanceWiseRKD',
                'L1Loss',
                'L2Loss',
            )
        ),
    ],
)
def test_losses_of_mmrazor_are_called_as_they_are(term, name):
    branches, teacher = data()
    cfg = dict(type=name, **dict(num_classes=K) if name == 'WSLD' else {})
    loss = build(label_loss=CE, **{f'{term}_loss': cfg})
    plain = MODELS.build(dict(cfg, _scope_='mmrazor'))
    ours, theirs = dict(logit=('logits', 'preds_T'), feat=('feat', 'feat_T'))[
        term
    ]
    labels = [teacher['gt_labels']] if name in ('DKDLoss', 'WSLD') else []
    expected = [
        plain(getattr(branch, ours), teacher[theirs], *labels).item()
        for branch in branches
    ]
    loss(branches, **teacher)
    weight = getattr(plain, 'loss_weight', 1)
    found = weight * loss.last_losses[term]
    assert found.tolist() == pytest.approx(expected)


def test_unknown_loss_is_named():
    with pytest.raises(KeyError, match='NoSuchLoss'):
        build(logit_loss=dict(type='NoSuchLoss'))


def test_a_loss_that_is_not_a_scalar_is_named():
    branches, teacher = data()
    loss = build(logit_loss=dict(KL, reduction='none'))
    with pytest.raises(
        ValueError,
        match=r'Branch 0: logit_loss should return a scalar, but '
        r'KLDivergence returns a tensor of shape \(6, 5\)',
    ):
        loss(branches, preds_T=teacher['preds_T'])


@pytest.mark.parametrize(
    'cfg',
    ['KLDivergence', nn.MSELoss, nn.functional.mse_loss, ['KLDivergence'] * L],
)
def test_loss_that_is_no_config(cfg):
    with pytest.raises(TypeError, match=r'logit_loss should be the config of'):
        build(logit_loss=cfg)
