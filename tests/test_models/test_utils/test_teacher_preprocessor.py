"""Images of a student, turned into those of its teacher."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample
from torch import nn

from mmdskd.models.utils.normalization import Normalization
from mmdskd.models.utils.teacher_preprocessor import (
    TeacherPreprocessor,
    check_arguments,
    find_teacher_shape,
    make_teacher_preprocessor,
    prepare_for_teacher,
)

OURS = dict(mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4])
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def make(ours, theirs=None, **kwargs):
    return make_teacher_preprocessor(
        ClsDataPreprocessor(**ours),
        dict(teacher_data_preprocessor=theirs, **kwargs),
    )


def prepare(config, images, training=False):
    """What the own data preprocessor of a network makes of raw images."""
    samples = [DataSample().set_gt_label(i % 2) for i in range(len(images))]
    data = dict(inputs=images.clone(), data_samples=samples)
    return ClsDataPreprocessor(**config)(data, training)['inputs']


def draw(channels, size=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        256, (4, channels, size, size), dtype=torch.uint8, generator=generator
    )


def test_one_pixel_by_hand():
    preprocess = make(
        dict(mean=[100.0], std=[50.0]), dict(mean=[60.0], std=[20.0])
    )
    # 150 of 255 is (150 - 100) / 50 = 1 for the student, and
    # (150 - 60) / 20 = 4.5 for the teacher.
    assert preprocess(torch.ones(1, 1, 1, 1)).tolist() == [[[[4.5]]]]


def test_colours_by_hand():
    preprocess = make(
        dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0]),
        dict(mean=[0.0, 1.0, 2.0], std=[1.0, 10.0, 100.0], to_rgb=True),
    )
    # The pixel (11, 22, 34), which the teacher gets as (34, 22, 11).
    found = preprocess(torch.ones(1, 3, 1, 1))
    torch.testing.assert_close(
        found.flatten(), torch.tensor([34.0, 2.1, 0.09])
    )


@pytest.mark.parametrize('theirs_swap', [False, True])
@pytest.mark.parametrize('ours_swap', [False, True])
@pytest.mark.parametrize(
    'ours, theirs',
    [
        (OURS, IMAGENET),
        (OURS, {}),
        ({}, IMAGENET),
        (OURS, dict(mean=[1.0], std=[2.0])),
        (dict(mean=[1.0], std=[2.0]), IMAGENET),
        (dict(mean=[127, 127, 127], std=[64, 64, 64]), IMAGENET),
    ],
)
def test_same_as_the_preprocessor_of_the_teacher(
    ours, theirs, ours_swap, theirs_swap
):
    images = draw(3)
    ours = dict(ours, to_rgb=ours_swap)
    theirs = dict(theirs, to_rgb=theirs_swap)
    inputs = prepare(ours, images)
    before = inputs.clone()
    torch.testing.assert_close(
        make(ours, theirs)(inputs),
        prepare(theirs, images),
        rtol=1e-5,
        atol=1e-4,
    )
    assert torch.equal(inputs, before)


def test_grey_images_for_a_teacher_of_colours():
    images = draw(1)
    ours = dict(mean=[77.7], std=[33.3])
    found = make(ours, dict(IMAGENET, to_rgb=True))(prepare(ours, images))
    expected = prepare(IMAGENET, images.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    # Also where the values are those of the student.
    same = dict(mean=[77.7] * 3, std=[33.3] * 3)
    assert make(ours, same)(prepare(ours, images)).shape == (4, 3, 5, 5)


@pytest.mark.parametrize('kind', ['Mixup', 'CutMix', 'ResizeMix'])
def test_mixed_images(kind):
    """They are those that the teacher's own preprocessor would mix."""
    images = draw(3, size=8)
    augments = dict(augments=[dict(type=kind, alpha=1.0)])
    found = []
    for config in (OURS, IMAGENET):
        torch.manual_seed(3)
        np.random.seed(3)
        config = dict(config, num_classes=2, batch_augments=augments)
        found.append(prepare(config, images, training=True))
    assert not torch.equal(found[0], prepare(OURS, images))
    torch.testing.assert_close(
        make(OURS, IMAGENET)(found[0]), found[1], rtol=1e-4, atol=1e-4
    )


def test_preprocessor_of_mmengine():
    ours = ImgDataPreprocessor(**OURS, bgr_to_rgb=True)
    found = Normalization.of_module(ours)
    assert found.swaps and found.mean == pytest.approx(OURS['mean'])
    found = Normalization.of_module(nn.Identity())
    assert (found.mean, found.std, found.swaps) == ([0.0], [1.0], False)


def test_config_as_it_is():
    """With what a data preprocessor does to labels and in training."""
    found = Normalization.from_config(
        dict(
            IMAGENET,
            type='mmpretrain.ClsDataPreprocessor',
            num_classes=1000,
            to_onehot=True,
            pad_size_divisor=1,
            batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]),
        )
    )
    assert found.mean == IMAGENET['mean'] and not found.swaps


@pytest.mark.parametrize(
    'interpolation, options',
    [
        ('bilinear', dict(align_corners=False, antialias=True)),
        ('bicubic', dict(align_corners=False, antialias=True)),
        ('nearest-exact', {}),
        ('area', {}),
    ],
)
@pytest.mark.parametrize('size', [(12, 10), (3, 4)])
def test_sizes(interpolation, options, size):
    images = torch.randn(2, 3, 6, 6)
    preprocess = make(
        {}, teacher_input_size=size, teacher_interpolation=interpolation
    )
    expected = F.interpolate(images, size, mode=interpolation, **options)
    assert torch.equal(preprocess(images), expected)


def test_one_edge_and_the_same_size():
    images = torch.randn(2, 3, 6, 8)
    assert make({}, teacher_input_size=7)(images).shape == (2, 3, 7, 7)
    assert torch.equal(make({}, teacher_input_size=[6, 8])(images), images)


def test_both_after_one_another():
    images = draw(3)
    preprocess = make(OURS, IMAGENET, teacher_input_size=16)
    expected = F.interpolate(
        prepare(IMAGENET, images), (16, 16), mode='bicubic', antialias=True
    )
    torch.testing.assert_close(
        preprocess(prepare(OURS, images)), expected, rtol=1e-4, atol=1e-4
    )


def test_nothing_is_asked_for():
    assert make(OURS) is None
    images = torch.randn(1)
    assert prepare_for_teacher(nn.Identity(), images) is images
    # The same normalisation needs no arithmetic.
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(make(OURS, OURS)(images), images)


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_types(dtype):
    images = torch.randn(2, 3, 4, 4).to(dtype)
    preprocess = make(OURS, IMAGENET, teacher_input_size=8)
    found = preprocess(images)
    assert found.dtype == dtype
    # Computed in float32, and rounded at the end.
    expected = preprocess(images.float()).to(dtype)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-5)


def test_integers():
    """Raw pixels of an algorithm that leaves them as they are."""
    images = draw(3)
    found = make({}, IMAGENET, teacher_input_size=8)(images)
    expected = make({}, IMAGENET, teacher_input_size=8)(images.float())
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_within_autocast():
    images = torch.randn(2, 3, 4, 4)
    preprocess = make(OURS, IMAGENET, teacher_input_size=8)
    expected = preprocess(images)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(preprocess(images), expected)


def test_memory_format_and_gradients():
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    inputs = images.to(memory_format=torch.channels_last)
    found = make(OURS, IMAGENET)(inputs)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not found.requires_grad


def test_shape_of_the_teacher():
    assert find_teacher_shape({}, (3, 32, 16)) == (3, 32, 16)
    config = dict(teacher_input_size=[64, 48])
    assert find_teacher_shape(config, (3, 32, 16)) == (3, 64, 48)
    config = dict(teacher_data_preprocessor=IMAGENET, teacher_input_size=24)
    assert find_teacher_shape(config, (1, 8, 8)) == (3, 24, 24)
    config = dict(teacher_data_preprocessor=dict())
    assert find_teacher_shape(config, (1, 8, 8)) == (1, 8, 8)


class TestBadInput:
    @pytest.mark.parametrize(
        'theirs, error, message',
        [
            (
                dict(mean=[1.0, 2.0], std=[1.0, 2.0]),
                ValueError,
                'teacher_data_preprocessor: mean and std should have 3 '
                'values, as data_preprocessor has, or one, but have 2',
            ),
            (
                dict(mean=[1.0] * 3, std=[1.0]),
                ValueError,
                'teacher_data_preprocessor: mean and std should have as many '
                'values, but have 3 and 1',
            ),
            (
                dict(mean=[1.0] * 3),
                ValueError,
                'teacher_data_preprocessor should have both mean and std, or '
                'none of them, but std is missing',
            ),
            (
                dict(std=[1.0] * 3),
                ValueError,
                'teacher_data_preprocessor should have both mean and std, or '
                'none of them, but mean is missing',
            ),
            (
                dict(mean=[1.0] * 3, std=[1.0, 0.0, 1.0]),
                ValueError,
                'teacher_data_preprocessor: std should be a list with each '
                'item a number > 0, or None, but got [1.0, 0.0, 1.0]',
            ),
            (
                dict(mean=[float('nan')] * 3, std=[1.0] * 3),
                ValueError,
                'teacher_data_preprocessor: mean should be a list with each '
                'item a finite number, or None, but got [nan, nan, nan]',
            ),
            (
                dict(IMAGENET, to_rgb='True'),
                TypeError,
                'teacher_data_preprocessor: to_rgb should be True or False, '
                "but got 'True' (a string: write it without quotes)",
            ),
            (
                dict(IMAGENET, pad_size_divisor=32),
                ValueError,
                'teacher_data_preprocessor: pad_size_divisor should be 1, '
                'but got 32',
            ),
            (
                dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
                ValueError,
                'teacher_data_preprocessor: mean and std should be of pixels '
                'from 0 to 255, as those of data_preprocessor are (std '
                '[68.2, 65.4, 70.4]), but got std [0.229, 0.224, 0.225]: '
                'multiply mean and std by 255',
            ),
            (
                [1.0],
                TypeError,
                'teacher_data_preprocessor should be a dict with mean, std '
                'and to_rgb, but got [1.0]',
            ),
        ],
    )
    def test_normalisation(self, theirs, error, message):
        with pytest.raises(error) as raised:
            TeacherPreprocessor(
                Normalization(**OURS), Normalization.from_config(theirs)
            )
        assert str(raised.value) == message

    def test_pixels_from_0_to_1(self):
        with pytest.raises(ValueError) as raised:
            TeacherPreprocessor(
                Normalization(mean=[0.5], std=[0.25]),
                Normalization(**IMAGENET),
            )
        assert str(raised.value) == (
            'teacher_data_preprocessor: mean and std should be of pixels '
            'from 0 to 1, as those of data_preprocessor are (std [0.25]), '
            'but got std [58.395, 57.12, 57.375]: divide mean and std by 255'
        )
        with pytest.raises(ValueError, match=r'are \(std \[81.7\]\), but'):
            make(dict(mean=[1.0], std=[81.7]), dict(mean=[0.5], std=[0.5]))
        # As Caffe has it: a mean of 0 to 255, and a std of 1.
        with pytest.raises(ValueError, match='multiply mean and std by 255'):
            make(dict(mean=[103.5], std=[1.0]), dict(mean=[0.5], std=[0.5]))
        # Of a teacher that gets the pixels as they are.
        assert make(OURS, dict(mean=[0.0], std=[1.0])) is not None

    def test_argument_of_another_name(self):
        with pytest.raises(
            ValueError,
            match=r'teacher_data_preprocessor.maen should be an argument of '
            r"Normalization, .*; did you mean 'mean'\?",
        ):
            make(OURS, dict(maen=[1.0]))

    @pytest.mark.parametrize('size', [0, -1, 1.5, '224', [224], [0, 5], True])
    def test_size(self, size):
        with pytest.raises(
            (TypeError, ValueError),
            match='teacher_input_size should be a whole number >= 1, or a '
            'list of 2 with each item a whole number >= 1, or None, but got',
        ):
            make({}, teacher_input_size=size)

    def test_interpolation(self):
        with pytest.raises(
            ValueError,
            match='teacher_interpolation should be one of bilinear, bicubic, '
            "nearest-exact, area, but got 'bicubi'; did you mean 'bicubic'",
        ):
            make({}, teacher_input_size=8, teacher_interpolation='bicubi')
        with pytest.raises(ValueError, match='come with teacher_input_size'):
            check_arguments(dict(teacher_interpolation='area'))

    def test_images(self):
        preprocess = make(OURS, IMAGENET)
        with pytest.raises(
            TypeError, match=r'one tensor \(N, C, H, W\), but got a list'
        ):
            preprocess([torch.zeros(3, 4, 4)])
        with pytest.raises(TypeError, match=r'a tensor of shape \(3, 4, 4\)'):
            preprocess(torch.zeros(3, 4, 4))
        with pytest.raises(
            ValueError, match='one for each channel of the images, 4, but'
        ):
            preprocess(torch.zeros(2, 4, 4, 4))
