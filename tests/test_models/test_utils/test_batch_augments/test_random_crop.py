from unittest import mock

import numpy as np
import pytest
import torch
from mmpretrain.registry import BATCH_AUGMENTS, TRANSFORMS

from mmdskd.models import BatchRandomCrop


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(number=64, size=(12, 10), channels=3, dtype=torch.uint8):
    # No 0, which is that of the padding
    return torch.randint(
        1, 255, (number, channels, *size), generator=generator()
    ).to(dtype)


def places(number=20000, size=5, padding=1, crop=4, seed=0):
    """Draw many crops of an image that tells its positions, and return
    their tops and lefts in the padded image."""
    side = size + 2 * padding
    coded = torch.arange(side * side).view(1, 1, side, side)
    inputs = coded.expand(number, 1, side, side)
    crops = BatchRandomCrop(crop).augment(inputs, generator(seed))
    corner = crops[:, 0, 0, 0]
    return corner // side, corner % side


@pytest.mark.parametrize(
    'crop_size, padding', [(10, 4), ((7, 11), 2), ((12, 10), 0), (1, 0)]
)
def test_pixels_are_those_of_mmpretrain(crop_size, padding, monkeypatch):
    """With the same draws."""
    inputs = images()
    draws, randint = [], torch.randint

    def record(*args, **kwargs):
        draws.append(randint(*args, **kwargs))
        return draws[-1]

    augment = BatchRandomCrop(crop_size, padding)
    monkeypatch.setattr(torch, 'randint', record)
    crops = augment.augment(inputs, generator())
    tops, lefts = (draw.tolist() for draw in draws)
    assert crops.dtype == torch.uint8

    transform = TRANSFORMS.build(augment.per_image())
    for image, crop, top, left in zip(inputs, crops, tops, lefts):
        offsets = mock.Mock(side_effect=(top, left))
        monkeypatch.setattr(np.random, 'randint', offsets)
        img = image.permute(1, 2, 0).numpy()
        expected = transform(dict(img=img))['img']
        np.testing.assert_array_equal(
            crop.permute(1, 2, 0), expected.reshape(*expected.shape[:2], -1)
        )


def test_padding_is_0():
    """A crop of the padded size has all of the image, and 0 around it."""
    inputs = images(size=(3, 3))
    crops = BatchRandomCrop(7, padding=2).augment(inputs)
    assert torch.equal(crops[:, :, 2:5, 2:5], inputs)
    assert crops.sum() == inputs.sum()


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.int64])
def test_types_and_memory_formats(dtype):
    inputs = images(dtype=dtype)
    expected = BatchRandomCrop(8, 2).augment(inputs, generator())
    assert expected.dtype == dtype and expected.is_contiguous()
    other = inputs.contiguous(memory_format=torch.channels_last)
    assert torch.equal(
        BatchRandomCrop(8, 2).augment(other, generator()), expected
    )


def test_input_stays_as_it_is():
    inputs = images()
    before = inputs.clone()
    BatchRandomCrop(8, 2).augment(inputs).zero_()
    BatchRandomCrop((12, 10)).augment(inputs).zero_()
    assert torch.equal(inputs, before)


def test_places_are_uniform():
    """Chi-squared on 16 places; 37.70 is exceeded by chance once in 1,000
    seeds, but the seed is fixed."""
    tops, lefts = places()
    counts = torch.bincount(4 * tops + lefts, minlength=16).float()
    expected = 20000 / 16
    assert ((counts - expected) ** 2 / expected).sum() < 37.70
    assert len(counts) == 16


def test_images_draw_independently():
    """Neither the next image nor the other axis can be told from a draw."""
    tops, lefts = (values.double() for values in places())
    for first, second in (
        (tops[:-1], tops[1:]),
        (lefts[:-1], lefts[1:]),
        (tops, lefts),
    ):
        correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
        # The standard deviation is 1 / sqrt(20,000) = 0.007.
        assert correlation.abs() < 0.03


def test_draws_are_those_of_the_generator():
    inputs = images()
    first, again, other = (
        BatchRandomCrop(8).augment(inputs, generator(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_empty_batch():
    assert BatchRandomCrop(8, 2).augment(images(0)).shape == (0, 3, 8, 8)


def test_place_of_mmpretrains_batch_augments():
    augment = BATCH_AUGMENTS.build(
        dict(type='mmdskd.BatchRandomCrop', crop_size=[6, 5], padding=1)
    )
    assert repr(augment) == 'BatchRandomCrop(crop_size=(6, 5), padding=1)'
    with pytest.raises(
        TypeError,
        match='BatchRandomCrop augments .* before they are normalised: .* '
        'not '
        'of "batch_augments"',
    ):
        augment(torch.rand(4, 3, 6, 5), torch.rand(4, 10))


@pytest.mark.parametrize(
    'size, arguments',
    [((31, 40), (32, 0)), ((24, 40), (33, 4)), ((40, 24), ((9, 34), 4))],
)
def test_crop_larger_than_the_padded_image(size, arguments):
    augment = BatchRandomCrop(*arguments)
    with pytest.raises(
        ValueError,
        match=r'crop_size should be at most the size of the padded images'
        rf', \(\d+, \d+\) with padding={arguments[1]}, but is \(',
    ):
        augment.augment(images(2, size))


@pytest.mark.parametrize(
    'arguments',
    [
        dict(crop_size=0),
        dict(crop_size=(3, -1)),
        dict(crop_size=(3, 3, 3)),
        dict(crop_size=()),
        dict(crop_size=3, padding=-1),
    ],
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(
        ValueError, match='crop_size should be > 0.* padding >= 0, but '
    ):
        BatchRandomCrop(**arguments)


@pytest.mark.parametrize(
    'arguments',
    [
        dict(crop_size=3.0),
        dict(crop_size='32'),
        dict(crop_size=None),
        dict(crop_size=True),
        dict(crop_size=3, padding=None),
        dict(crop_size=3, padding=(1, 1)),
    ],
)
def test_arguments_of_another_type(arguments):
    with pytest.raises(
        TypeError, match='crop_size should be an int or two, and padding'
    ):
        BatchRandomCrop(**arguments)
