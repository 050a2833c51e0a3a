import copy
import io
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS

from mmdskd.models import (
    AugmentSequence,
    BaseBatchAugment,
    BatchRandomCrop,
    BatchRandomFlip,
)

AUGMENTS = [
    dict(type='mmdskd.BatchRandomCrop', crop_size=8, padding=2),
    dict(type='mmdskd.BatchRandomFlip'),
]
MODULE = 'mmdskd.models.utils.batch_augments.augment_sequence'


@pytest.fixture(scope='module')
def inputs():
    return torch.randint(
        256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0)
    )


def run(sequence, inputs, batches=3):
    return torch.stack([sequence(inputs) for _ in range(batches)])


def test_in_this_order():

    class Write(BaseBatchAugment):
        def __init__(self, value):
            self.value = value

        def augment(self, inputs, generator):
            generators.append(generator)
            return 10 * inputs + self.value

    generators = []
    sequence = AugmentSequence([Write(1), Write(2)])
    outputs = sequence(torch.zeros(1, 1, 1, 1))
    assert outputs == 12
    assert generators[0] is generators[1]
    assert Write(1).per_image() is None


def test_each_batch_has_draws_of_its_own(inputs):
    first, second, third = run(AugmentSequence(AUGMENTS, seed=0), inputs)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_seed(inputs):
    first, again, other = (
        run(AugmentSequence(AUGMENTS, seed=seed), inputs) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_other_draws_matter(inputs):
    """And none is disturbed."""
    expected = run(AugmentSequence(AUGMENTS, seed=0), inputs)
    sequence = AugmentSequence(AUGMENTS, seed=0)
    torch.manual_seed(3)
    outputs = []
    for _ in range(3):
        before = torch.get_rng_state()
        outputs.append(sequence(inputs))
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(5)
    assert torch.equal(torch.stack(outputs), expected)


def test_seed_of_the_run(inputs):
    torch.manual_seed(3)
    sequence = AugmentSequence(AUGMENTS)
    assert sequence.get_extra_state().tolist() == [-1, 0]
    torch.manual_seed(7)  # as the Runner, after or before the model
    outputs = run(sequence, inputs)
    assert torch.equal(outputs, run(AugmentSequence(AUGMENTS, 7), inputs))
    assert sequence.get_extra_state().tolist() == [7, 3]


def test_any_seed_of_torch_fits(inputs, monkeypatch):
    monkeypatch.setattr(torch, 'initial_seed', lambda: 2**64 - 1)
    sequence = AugmentSequence(AUGMENTS)
    sequence(inputs)
    assert sequence.get_extra_state().tolist() == [2**63 - 1, 1]


def test_state_goes_on_where_it_was(inputs):
    whole = run(AugmentSequence(AUGMENTS, seed=3), inputs, 5)
    part = AugmentSequence(AUGMENTS, seed=3)
    run(part, inputs, 2)
    file = io.BytesIO()
    torch.save(part.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert state['_extra_state'].dtype == torch.int64
    for seed in (3, None, 4):
        resumed = AugmentSequence(AUGMENTS, seed=seed)
        resumed.load_state_dict(state)
        assert torch.equal(run(resumed, inputs), whole[2:])


def test_state_without_seed_leaves_the_seed(inputs):
    sequence = AugmentSequence(AUGMENTS, seed=3)
    sequence(inputs)
    sequence.load_state_dict(AugmentSequence(AUGMENTS).state_dict())
    assert sequence.get_extra_state().tolist() == [3, 0]


@pytest.mark.parametrize(
    'iteration, seed, expected',
    [(0, 3, [3, 1]), (0, 4, [4, 1]), (7, 4, [3, 3]), (None, 4, [3, 3])],
)
def test_run_that_is_not_resumed_begins_anew(
    inputs, monkeypatch, iteration, seed, expected
):
    """``load_from`` loads the state as well, at iteration 0."""
    base = AugmentSequence(AUGMENTS, seed=3)
    run(base, inputs, 2)
    sequence = AugmentSequence(AUGMENTS, seed=seed)
    sequence.load_state_dict(base.state_dict())
    hub = SimpleNamespace(get_info=lambda key, default: iteration)
    monkeypatch.setattr(
        f'{MODULE}.MessageHub.get_current_instance', lambda: hub
    )
    sequence(inputs)
    assert sequence.get_extra_state().tolist() == expected


def test_copies_go_on_alike(inputs):
    sequence = AugmentSequence(AUGMENTS, seed=0)
    run(sequence, inputs)
    twins = [copy.deepcopy(sequence), pickle.loads(pickle.dumps(sequence))]
    expected = run(sequence, inputs)
    for twin in twins:
        assert torch.equal(run(twin, inputs), expected)


def test_ranks_draw_differently(inputs, monkeypatch):
    outputs = []
    for rank in range(3):
        monkeypatch.setattr(f'{MODULE}.get_rank', lambda rank=rank: rank)
        outputs.append(run(AugmentSequence(AUGMENTS, seed=0), inputs))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for mine, theirs in zip(outputs[i], outputs[j]):
            assert not torch.equal(mine, theirs)


def test_builds_what_it_is_given():
    crop = BatchRandomCrop(8)
    sequence = AugmentSequence((crop, AUGMENTS[1]), seed=5)
    assert sequence.augments[0] is crop
    assert isinstance(sequence.augments[1], BatchRandomFlip)
    assert repr(sequence) == (
        'AugmentSequence([BatchRandomCrop(crop_size=(8, 8), padding=0), '
        'BatchRandomFlip(prob=0.5)], seed=5)'
    )


def test_scope_of_mmrazor_needs_no_warning(monkeypatch):
    """Algorithms are built in it, and it has no such registry."""
    messages = []
    monkeypatch.setattr(
        'mmengine.logging.print_log',
        lambda message, *args, **kwargs: messages.append(message),
    )
    with DefaultScope.overwrite_default_scope('mmrazor'):
        AugmentSequence(AUGMENTS)
    assert not [m for m in messages if 'Failed to search registry' in m]


def test_augments_of_another_type():
    for augments in (AUGMENTS[0], 'mmdskd.BatchRandomFlip', BatchRandomCrop):
        with pytest.raises(TypeError, match='augments should be a list of'):
            AugmentSequence(augments)
    mixup = BATCH_AUGMENTS.build(dict(type='Mixup', alpha=1.0))
    for augment in (
        mixup,
        dict(type='mmpretrain.Mixup', alpha=1.0),
        torch.abs,
    ):
        with pytest.raises(
            TypeError,
            match='class BaseBatchAugment, such as mmdskd.BatchRandomCrop,'
            ' but got .* Mixup, go into batch_augments',
        ):
            AugmentSequence([augment])


def test_unknown_augment():
    with pytest.raises(KeyError, match='mmdskd.BatchRandomCorp is not in'):
        AugmentSequence([dict(type='mmdskd.BatchRandomCorp')])


def test_no_augments():
    with pytest.raises(ValueError, match='augments should be at least one'):
        AugmentSequence([])


@pytest.mark.parametrize('seed', [-1, 2**63])
def test_seed_out_of_range(seed):
    with pytest.raises(
        ValueError, match=f'seed should be within 0 to .* got {seed}'
    ):
        AugmentSequence(AUGMENTS, seed)


@pytest.mark.parametrize('seed', ['0', 1.0, True])
def test_seed_of_another_type(seed):
    with pytest.raises(TypeError, match='seed should be an int or None, but'):
        AugmentSequence(AUGMENTS, seed)
