import pytest
import torch

from mmdskd.models import (
    BaseLossWeightStrategy,
    BranchWeights,
    ProportionalStrategy,
    UniformStrategy,
)
from mmdskd.models.losses import branch_weights

PROPORTIONAL = ProportionalStrategy()


def take(weights, *losses):
    for row in losses:
        weights.add(weights.to_row(torch.tensor(row)))


def test_starts_uniform():
    assert BranchWeights(3).weights.tolist() == [1, 1, 1]


def test_mean_over_the_interval_then_ema():
    weights = BranchWeights(2)
    take(weights, [1.0, 1.0], [1.0, 5.0])
    weights.update(PROPORTIONAL, ema_decay=0.75)
    # The first update takes the mean, (1, 3), as it is.
    assert weights.ema.tolist() == [1, 3]
    assert weights.weights.tolist() == pytest.approx([0.5, 1.5])

    take(weights, [5.0, 3.0])
    weights.update(PROPORTIONAL, ema_decay=0.75)
    # 3/4 (1, 3) + 1/4 (5, 3) = (2, 3)
    assert weights.ema.tolist() == [2, 3]
    assert weights.previous.tolist() == [1, 3]
    assert weights.weights.tolist() == pytest.approx([0.8, 1.2])
    assert weights.num_updates == 2


def test_without_ema_the_weights_are_those_of_the_last_losses():
    weights = BranchWeights(2)
    for losses in ([1.0, 1.0], [1.0, 3.0]):
        take(weights, losses)
        weights.update(PROPORTIONAL)
    assert weights.weights.tolist() == pytest.approx([0.5, 1.5])


def test_strength_is_the_share_of_the_strategy():
    weights = BranchWeights(2)
    take(weights, [1.0, 3.0])
    weights.update(PROPORTIONAL, strength=0.5)
    assert weights.weights.tolist() == pytest.approx([0.75, 1.25])


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_losses_that_are_not_finite_are_left_out_and_counted(bad):
    weights = BranchWeights(2)
    take(weights, [1.0, 3.0], [bad, 1.0])
    weights.update(PROPORTIONAL)
    assert weights.weights.tolist() == pytest.approx([0.5, 1.5])
    assert weights.num_nonfinite == 1

    take(weights, [1.0, bad])
    weights.update(UniformStrategy())
    assert weights.weights.tolist() == pytest.approx([0.5, 1.5])
    assert weights.num_updates == 1
    assert weights.num_nonfinite == 2


def test_a_strategy_that_fails_leaves_the_weights():
    weights = BranchWeights(2)
    take(weights, [1.0, 3.0])
    weights.update(PROPORTIONAL)

    class Broken(BaseLossWeightStrategy):
        def __init__(self, factor):
            self.factor = factor

        def allocate(self, losses, previous):
            return losses * self.factor

    strategies = [
        Broken(float('nan')),
        Broken(float('inf')),
        # A plain function need not average to 1.
        lambda losses, previous: -losses,
        lambda losses, previous: losses * float('inf'),
    ]
    for strategy in strategies:
        take(weights, [2.0, 2.0])
        weights.update(strategy)
    assert weights.weights.tolist() == pytest.approx([0.5, 1.5])
    assert weights.num_updates == 1


def test_state_is_saved_and_reset():
    weights = BranchWeights(2)
    take(weights, [1.0, 3.0])
    weights.update(PROPORTIONAL)
    take(weights, [2.0, 2.0])
    twin = BranchWeights(2)
    twin.load_state_dict(weights.state_dict())
    for w in (weights, twin):
        w.update(PROPORTIONAL, ema_decay=0.5)
    assert twin.weights.tolist() == weights.weights.tolist()
    assert twin.weights.tolist() == pytest.approx([0.75, 1.25])

    twin.reset()
    for name, value in BranchWeights(2).state_dict().items():
        assert twin.state_dict()[name].tolist() == value.tolist()


def test_all_weights_go_over_the_ranks_in_one_message(monkeypatch):
    messages = []

    def sum_of_two_ranks(row):
        messages.append(row.clone())
        row *= 2

    monkeypatch.setattr(branch_weights, 'get_world_size', lambda: 2)
    monkeypatch.setattr(branch_weights, 'all_reduce', sum_of_two_ranks)
    first, second = BranchWeights(2), BranchWeights(1)
    branch_weights.add_over_ranks(
        [
            (first, torch.tensor([1.0, 3.0])),
            (second, torch.tensor([float('nan')])),
        ]
    )
    # Sums of the losses, how many are in them, and how many are left out.
    assert first.pending.tolist() == [2, 6, 2, 0]
    assert second.pending.tolist() == [0, 0, 2]
    branch_weights.add_over_ranks([])
    assert [len(message) for message in messages] == [7]


def test_a_rank_without_a_forward_sends_zeros(monkeypatch):
    """The message has the same length there, so that no rank waits."""
    messages = []
    monkeypatch.setattr(branch_weights, 'get_world_size', lambda: 2)
    monkeypatch.setattr(branch_weights, 'all_reduce', messages.append)
    for first, second in (
        (torch.tensor([1.0, 3.0]), torch.tensor([2.0])),
        (None, torch.tensor([2.0], dtype=torch.float64)),
        (None, None),
    ):
        weights = BranchWeights(2), BranchWeights(1)
        branch_weights.add_over_ranks(list(zip(weights, (first, second))))
        for each in weights:
            each.update(UniformStrategy())
    assert [message.tolist() for message in messages] == [
        [1, 3, 1, 0, 2, 1, 0],
        [0, 0, 0, 0, 2, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    # Ranks can only add up what has one type.
    assert {message.dtype for message in messages} == {torch.float32}
    # An iteration without any forward is none.
    assert weights[0].num_updates == weights[0].num_nonfinite == 0


def test_forwards_of_an_iteration_are_averaged():
    weights = BranchWeights(2)
    assert weights.take() is None
    for losses in ([1.0, 4.0], [3.0, 2.0]):
        weights.record(torch.tensor(losses))
    assert weights.take().tolist() == [2, 3]
    assert weights.take() is None
    # They are not part of the state.
    weights.record(torch.ones(2))
    assert weights.state_dict().keys() == BranchWeights(2).state_dict().keys()
    names = dict(weights.named_buffers()).keys()
    assert names == weights.state_dict().keys()


def test_recorded_losses_move_with_the_module():
    weights = BranchWeights(2)
    weights.record(torch.tensor([1.0, 4.0]))
    mean = weights.double().take()
    assert mean.dtype == torch.float64 and mean.tolist() == [1, 4]

    weights.record(torch.tensor([1.0, 4.0]))
    weights.to('meta')
    weights.record(torch.ones(2, device='meta'))
    mean = weights.take()
    assert mean.is_meta
    weights.add(weights.to_row(mean))
