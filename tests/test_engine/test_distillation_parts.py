"""How the parts of a distillation are found and named."""

import pytest
from mmengine.runner import LogProcessor
from torch import nn

from mmdskd.engine.distillation_parts import find_dskd_losses, log_prefix
from mmdskd.models import DSKDLoss


@pytest.mark.parametrize(
    'name, prefix',
    [
        ('loss_dskd', 'dskd'),
        ('dskd_loss', 'dskd'),
        ('loss_a', 'a'),
        ('loss', 'dskd'),
        ('dskdloss', 'dskd'),
        ('lossdskd', 'dskd'),
        ('a_loss_b', 'a_b'),
        ('a_loss_loss', 'a'),
        ('loss_glossy', 'glossy'),
        ('glossy', 'glossy'),
        ('glossy_loss', 'glossy'),
        ('mylosses', 'mylosses'),
    ],
)
def test_log_names_do_not_hold_the_word_loss(name, prefix):
    assert log_prefix(name) == prefix


@pytest.mark.parametrize(
    'names', [('loss_a', 'a_loss'), ('a', 'aloss'), ('loss', 'dskd')]
)
def test_losses_of_one_name_in_the_log_are_refused(names):
    model = nn.ModuleDict(
        {name: DSKDLoss(1, feat_loss=nn.MSELoss()) for name in names}
    )
    with pytest.raises(KeyError, match='differ in more than the word "loss"'):
        find_dskd_losses(model)


def test_log_names_keep_the_log_from_smoothing():
    """MMEngine would show the mean of the weights over a window."""
    smooths = LogProcessor().mean_pattern.match
    assert smooths('loss_dskd.weight_feat_0')
    assert not smooths(f'{log_prefix("loss_dskd")}.weight_feat_0')
