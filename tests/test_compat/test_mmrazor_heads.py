import pytest
import torch
from mmpretrain.structures import DataSample
from mmrazor.registry import MODELS
from torch import nn


def build(config):
    return MODELS.build(dict(config, _scope_='mmpretrain'))


def test_subnet_of_darts_learns_from_samples_of_mmpretrain():
    head = build(
        dict(
            type='mmrazor.DartsSubnetClsHead',
            num_classes=3,
            in_channels=2,
            aux_in_channels=4,
            loss=dict(type='mmpretrain.CrossEntropyLoss'),
            aux_loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.4),
            cal_acc=True,
            topk=(1,),
        )
    )
    logits = torch.tensor([[5.0, 0, 0], [0, 5.0, 0]])
    samples = [DataSample().set_gt_label(label) for label in (0, 2)]
    losses = head._get_aux_loss(logits, samples)
    expected = nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    assert losses['loss'].item() == pytest.approx(0.4 * expected.item())
    assert losses['accuracy_top-1'].item() == 50
    feats = torch.zeros(2, 4), torch.zeros(2, 2)
    assert set(head.loss(feats, samples)) == {
        'loss',
        'accuracy_top-1',
        'aux_head..loss',
        'aux_head..accuracy_top-1',
    }
    # Mixed labels have no accuracy.
    mixed = [DataSample().set_gt_score(torch.eye(3)[i]) for i in (0, 2)]
    with pytest.raises(ValueError, match='cal_acc should be False where'):
        head._get_aux_loss(logits, mixed)
    head.cal_acc = False
    assert head._get_aux_loss(logits, mixed)['loss'].item() == pytest.approx(
        losses['loss'].item()
    )


@pytest.mark.parametrize('hidden_dim', [None, 5])
def test_head_of_deit_takes_tokens_of_mmpretrain(hidden_dim):
    """And those of mmcls, after the patches."""
    head = build(
        dict(
            type='mmrazor.DeiTClsHead',
            num_classes=3,
            in_channels=4,
            hidden_dim=hidden_dim,
        )
    )
    cls_token, dist_token = torch.randn(2, 2, 4)
    patches = torch.zeros(2, 4, 1, 1)
    recorded = []
    head.layers.head_dist.register_forward_hook(
        lambda module, inputs, output: recorded.append((inputs[0], output))
    )
    logits = head(([cls_token, dist_token],))
    assert torch.equal(logits, head(([patches, cls_token, dist_token],)))
    (token, distilled), _ = recorded
    if hidden_dim is None:
        assert torch.equal(logits, head.layers.head(cls_token))
        assert token is dist_token
    else:
        hidden = head.layers.pre_logits(dist_token).tanh()
        assert torch.equal(token, hidden)
    assert torch.equal(distilled, head.layers.head_dist(token))


def test_student_of_deit_gives_both():
    network = build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='DistilledVisionTransformer',
                arch='deit-tiny',
                img_size=32,
                patch_size=16,
            ),
            head=dict(
                type='mmrazor.DeiTClsHead', num_classes=3, in_channels=192
            ),
        )
    )
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
