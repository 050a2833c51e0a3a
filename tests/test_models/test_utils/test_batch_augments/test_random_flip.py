import math

import pytest
import torch
from mmpretrain.registry import BATCH_AUGMENTS, TRANSFORMS

from mmdskd.models import BatchRandomFlip


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def flips(prob, number=20000):
    """Tell which of many images are mirrored."""
    inputs = torch.tensor([0, 1]).expand(number, 1, 1, 2)
    return BatchRandomFlip(prob).augment(inputs, generator())[:, 0, 0, 0] == 1


def test_pixels_are_those_of_mmpretrain(monkeypatch):
    """With the same draws."""
    inputs = torch.randint(256, (64, 3, 5, 6), dtype=torch.uint8)
    before = inputs.clone()
    augment = BatchRandomFlip(0.4)
    outputs = augment.augment(inputs, generator())
    assert torch.equal(inputs, before)
    assert outputs.dtype == torch.uint8
    transform = TRANSFORMS.build(augment.per_image())
    draws = torch.rand(64, generator=generator())
    for image, output, draw in zip(inputs, outputs, draws):
        # It draws the direction: the first one mirrors.
        monkeypatch.setattr(
            'numpy.random.choice',
            lambda choices, p, draw=draw: choices[0 if draw < p[0] else 1],
        )
        img = image.permute(1, 2, 0).numpy()
        expected = transform(dict(img=img))['img'].copy()
        assert torch.equal(output.permute(1, 2, 0), torch.tensor(expected))
    assert 0 < (draws < 0.4).sum() < 64


@pytest.mark.parametrize('prob', [0.1, 0.5, 0.9])
def test_probability(prob):
    """Within 4 standard deviations, which chance exceeds once in 15,000
    seeds, but the seed is fixed."""
    deviation = math.sqrt(prob * (1 - prob) / 20000)
    assert abs(flips(prob).double().mean() - prob) < 4 * deviation


def test_images_draw_independently():
    flipped = flips(0.5).double()
    pair = torch.stack([flipped[:-1], flipped[1:]])
    # The standard deviation is 1 / sqrt(20,000) = 0.007.
    assert torch.corrcoef(pair)[0, 1].abs() < 0.03


def test_always_and_never():
    assert flips(1).all()
    assert not flips(0).any()


def test_draws_are_those_of_the_generator():
    inputs = torch.rand(64, 1, 1, 2)
    first, again, other = (
        BatchRandomFlip().augment(inputs, generator(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_place_of_mmpretrains_batch_augments():
    augment = BATCH_AUGMENTS.build(
        dict(type='mmdskd.BatchRandomFlip', prob=0.5)
    )
    assert repr(augment) == 'BatchRandomFlip(prob=0.5)'
    with pytest.raises(
        TypeError,
        match='BatchRandomFlip augments .* before they are normalised: .* '
        'not '
        'of "batch_augments"',
    ):
        augment(torch.rand(4, 3, 6, 5), torch.rand(4, 10))


def test_empty_batch():
    inputs = torch.rand(0, 3, 6, 5)
    assert BatchRandomFlip().augment(inputs).shape == (0, 3, 6, 5)


@pytest.mark.parametrize('prob', [-0.1, 1.1, float('nan')])
def test_probability_out_of_range(prob):
    with pytest.raises(
        ValueError, match=f'prob should be within 0 to 1, but got {prob}'
    ):
        BatchRandomFlip(prob)


@pytest.mark.parametrize('prob', ['0.5', None, True, [0.5]])
def test_probability_of_another_type(prob):
    with pytest.raises(TypeError, match='prob should be a number, but got'):
        BatchRandomFlip(prob)
