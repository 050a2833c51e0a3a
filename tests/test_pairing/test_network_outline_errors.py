"""What is no feature, no classifier or no sequence of layers is told."""

import pytest
from networks import ChannelsLast
from torch import nn

from mmdskd.pairing.network_outline import NetworkOutline


class Odd(ChannelsLast):
    """Modules that give no feature for a branch."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Linear(3, 3)
        self.twice = nn.Identity()
        self.spoilt = nn.Identity()
        self.first = nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.twice(self.twice(x))
        x = self.spoilt(x * 2)
        x += 1
        return super().forward(x)


@pytest.mark.parametrize(
    'name, error, message',
    [
        (
            'idle',
            ValueError,
            "'idle' of network gives no feature for a branch: it "
            'does not run in the forward; choose from first, stages.0',
        ),
        ('twice', ValueError, "'twice' of .*: it runs more than once"),
        (
            'spoilt',
            ValueError,
            "'spoilt' of .*: its output is changed in place",
        ),
        ('fc', ValueError, "'fc' of .* its output is not one tensor of maps"),
        (
            'stages.3',
            KeyError,
            "'stages.3' is not a module of network; did you mean stages.",
        ),
        ('', KeyError, "'' is not a module"),
    ],
)
def test_modules_without_a_feature(name, error, message):
    outline = NetworkOutline(Odd(), (3, 16, 16))
    with pytest.raises(error, match=message):
        outline.feature(name)


class TwoOutputs(ChannelsLast):
    def forward(self, x):
        return super().forward(x), x


def test_what_is_no_classifier():
    with pytest.raises(
        ValueError,
        match=r'the teacher should be a classifier, which returns logits '
        r'\(N, K\), but TwoOutputs returns a tuple',
    ):
        NetworkOutline(TwoOutputs(), (3, 16, 16), 'the teacher')
    with pytest.raises(ValueError, match=r'Conv2d returns a tensor of shape'):
        NetworkOutline(nn.Conv2d(3, 3, 1), (3, 16, 16))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    with pytest.raises(ValueError, match='sequence of at least three modules'):
        NetworkOutline(flat, (3, 2, 2))
