import copy
import pickle
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample

from mmdskd.models import AugmentingDataPreprocessor, BaseBatchAugment
from mmdskd.models.utils.data_preprocessor import stack_images

MEAN, STD = [129.3105, 124.1085, 112.404], [68.2125, 65.4075, 70.4055]
CROP = dict(type='mmdskd.BatchRandomCrop', crop_size=32, padding=4)
FLIP = dict(type='mmdskd.BatchRandomFlip', prob=0.5)


def preprocessor(*augments, **kwargs):
    kwargs = {**dict(mean=MEAN, std=STD, num_classes=10), **kwargs}
    return AugmentingDataPreprocessor(list(augments) or None, **kwargs)


@pytest.fixture
def samples():
    images = torch.randint(
        256,
        (16, 3, 32, 32),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    return [
        dict(inputs=image, data_samples=DataSample().set_gt_label(i % 10))
        for i, image in enumerate(images)
    ]


@pytest.fixture(params=[default_collate, pseudo_collate])
def batch(request, samples):
    return request.param(samples)


def labels(data):
    return [int(sample.gt_label) for sample in data['data_samples']]


def assert_same(data, expected):
    assert torch.equal(data['inputs'], expected['inputs'])
    assert data['inputs'].dtype == torch.float32
    assert data.keys() == expected.keys()
    for mine, theirs in zip(data['data_samples'], expected['data_samples']):
        assert mine.keys() == theirs.keys()
        for key, value in theirs.items():
            assert torch.equal(mine.get(key), value), key


def test_is_the_pipeline_of_mmpretrain(samples):
    """Pixel by pixel, normalised, with the draws fixed."""
    ours = preprocessor(CROP, FLIP, seed=0, to_rgb=True)
    draws = []

    def record(function):

        def draw(*args, **kwargs):
            draws.append(function(*args, **kwargs))
            return draws[-1]

        return draw

    with (
        patch('torch.randint', record(torch.randint)),
        patch('torch.rand', record(torch.rand)),
    ):
        data = ours(default_collate(samples), training=True)
    tops, lefts, flips = draws

    pipeline = [
        TRANSFORMS.build(config)
        for config in (
            dict(type='mmpretrain.RandomCrop', crop_size=32, padding=4),
            dict(
                type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'
            ),
            dict(type='mmpretrain.PackInputs'),
        )
    ]
    packed = []
    for i, sample in enumerate(samples):
        results = dict(
            img=sample['inputs'].permute(1, 2, 0).numpy(), gt_label=i % 10
        )
        offsets = int(tops[i]), int(lefts[i])
        with (
            patch('numpy.random.randint', side_effect=offsets),
            patch(
                'numpy.random.choice',
                lambda choices, p, i=i: choices[int(flips[i] >= p[0])],
            ),
        ):
            for transform in pipeline:
                results = transform(results)
        results['data_samples'].set_metainfo({})
        packed.append(results)
    stock = ClsDataPreprocessor(
        mean=MEAN, std=STD, to_rgb=True, num_classes=10
    )
    expected = stock(default_collate(packed), training=True)
    assert torch.equal(data['inputs'], expected['inputs'])
    assert labels(data) == labels(expected)


def test_padding_is_black_before_the_normalisation(samples):
    crop = dict(type='mmdskd.BatchRandomCrop', crop_size=40, padding=4)
    data = preprocessor(crop)(default_collate(samples), True)['inputs']
    black = [(0 - mean) / std for mean, std in zip(MEAN, STD)]
    for corner in (data[..., :4, :], data[..., -4:], data[..., -4:, :]):
        for channel, value in enumerate(black):
            torch.testing.assert_close(
                corner[:, channel], torch.full_like(corner[:, channel], value)
            )


@pytest.mark.parametrize(
    'kwargs',
    [dict(), dict(to_onehot=True), dict(to_rgb=True, pad_size_divisor=5)],
)
@pytest.mark.parametrize('training', [False, True])
def test_all_else_is_mmpretrains(batch, kwargs, training):
    arguments = dict(mean=MEAN, std=STD, num_classes=10, **kwargs)
    stock = ClsDataPreprocessor(**arguments)
    expected = stock(copy.deepcopy(batch), training)
    # Without augmentations, or outside of training
    ours = preprocessor(*([] if training else [CROP, FLIP]), **arguments)
    before = copy.deepcopy(batch)
    assert_same(ours(batch, training), expected)
    assert torch.equal(
        stack_images(batch['inputs']), stack_images(before['inputs'])
    )


def test_evaluation_draws_nothing(samples):
    ours = preprocessor(CROP, FLIP, seed=0)
    batch = default_collate(samples)
    expected = ours(batch, True)['inputs']
    ours = preprocessor(CROP, FLIP, seed=0)
    plain = ours(batch)['inputs']
    assert torch.equal(plain, ours(batch)['inputs'])
    assert torch.equal(ours(batch, True)['inputs'], expected)
    assert not torch.equal(plain, expected)


def test_stacked_or_not_is_the_same(samples):
    stacked, listed = (
        preprocessor(CROP, FLIP, seed=0)(collate(samples), True)
        for collate in (default_collate, pseudo_collate)
    )
    assert_same(stacked, listed)


def test_given_batch_is_not_changed(batch):
    before = copy.deepcopy(batch)
    preprocessor(CROP, FLIP)(batch, True)
    assert batch.keys() == before.keys()
    for mine, theirs in zip(batch['inputs'], before['inputs']):
        assert torch.equal(mine, theirs)


def test_labels_are_moved_to_the_device(samples):
    ours = preprocessor(pad_size_divisor=5).to('meta')
    samples[1]['data_samples'].set_gt_label([3, 4])
    data = ours(default_collate(samples))
    for number, sample in enumerate(data['data_samples']):
        assert sample.gt_label.device.type == 'meta'
        assert sample.gt_label.shape == (2 if number == 1 else 1,)


def test_images_are_augmented_on_the_device(batch, monkeypatch):
    devices = []

    class Spy(BaseBatchAugment):
        def augment(self, inputs, generator=None):
            devices.append(inputs.device.type)
            return inputs

    ours = preprocessor(Spy()).to('meta')
    # There is no generator of this stand-in for a GPU.
    monkeypatch.setattr(ours.augments, '_next_generator', lambda device: None)
    ours(batch, True)
    assert devices == ['meta']


def test_device_that_is_not_there(samples):
    if torch.cuda.is_available():
        pytest.skip('There is one.')
    with pytest.raises((AssertionError, RuntimeError), match='NVIDIA|CUDA'):
        preprocessor(CROP).to('cuda')(default_collate(samples), True)


def test_images_alone(samples):
    inputs = torch.stack([sample['inputs'] for sample in samples])
    for data in (dict(inputs=inputs), dict(inputs=inputs, data_samples=None)):
        data = preprocessor(CROP)(data, True)
        assert data['inputs'].shape == (16, 3, 32, 32)
        assert data['data_samples'] is None


def test_mixup_comes_after(samples):
    """On augmented images, with scores."""

    def mix(batch_augments, *augments):
        np.random.seed(0)
        torch.manual_seed(0)
        return preprocessor(*augments, seed=0, batch_augments=batch_augments)(
            default_collate(copy.deepcopy(samples)), True
        )

    mixup = dict(augments=[dict(type='Mixup', alpha=1.0)])
    data = mix(mixup, CROP, FLIP)
    plain = mix(None, CROP, FLIP)
    scores = torch.stack([s.gt_score for s in data['data_samples']])
    assert scores.shape == (16, 10)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(16))
    np.random.seed(0)
    torch.manual_seed(0)
    np.random.choice(1)
    lam, index = np.random.beta(1.0, 1.0), torch.randperm(16)
    torch.testing.assert_close(
        data['inputs'],
        lam * plain['inputs'] + (1 - lam) * plain['inputs'][index],
    )
    assert labels(data) == labels(plain)


def test_scores_are_kept(samples):
    for sample in samples:
        sample['data_samples'].set_gt_score(torch.ones(10) / 10)
    data = preprocessor(CROP)(default_collate(samples), True)
    for sample in data['data_samples']:
        torch.testing.assert_close(sample.gt_score, torch.ones(10) / 10)


def test_state_is_in_checkpoints(samples):
    batch = default_collate(samples)
    model = torch.nn.ModuleDict(
        dict(data_preprocessor=preprocessor(CROP, FLIP, seed=3))
    )
    model.data_preprocessor(batch, True)
    state = copy.deepcopy(model.state_dict())
    assert list(state) == ['data_preprocessor.augments._extra_state']
    expected = model.data_preprocessor(batch, True)['inputs']
    model = torch.nn.ModuleDict(
        dict(data_preprocessor=preprocessor(CROP, FLIP))
    )
    load_state_dict(model, state, strict=True)
    assert torch.equal(
        model.data_preprocessor(batch, True)['inputs'], expected
    )


@pytest.mark.parametrize(
    'source, target, message',
    [
        (preprocessor(CROP), preprocessor(), 'unexpected key'),
        (preprocessor(), preprocessor(CROP), 'missing keys'),
    ],
)
def test_other_checkpoints_load_with_a_warning(source, target, message):
    models = [
        torch.nn.ModuleDict(dict(data_preprocessor=p))
        for p in (source, target)
    ]
    with patch('mmengine.runner.checkpoint.print_log') as log:
        load_state_dict(models[1], models[0].state_dict())
    (text,) = (call.args[0] for call in log.call_args_list)
    assert 'data_preprocessor.augments._extra_state' in text
    assert message in text


def test_copies(samples):
    batch = default_collate(samples)
    ours = preprocessor(CROP, FLIP, seed=0)
    ours(batch, True)
    twins = [copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))]
    expected = ours(batch, True)['inputs']
    for twin in twins:
        assert torch.equal(twin(batch, True)['inputs'], expected)


@pytest.mark.parametrize('scope', ['mmengine', 'mmrazor', 'mmpretrain'])
def test_from_a_config(scope):
    with DefaultScope.overwrite_default_scope(scope):
        ours = ROOT_MODELS.build(
            dict(
                type='mmdskd.AugmentingDataPreprocessor',
                augments=[CROP, FLIP],
                seed=4,
            )
        )
    assert ours.augments.get_extra_state().tolist() == [4, 0]
    assert 'BatchRandomCrop(crop_size=(32, 32), padding=4)' in repr(ours)


def test_images_of_different_sizes(samples):
    samples[1]['inputs'] = samples[1]['inputs'][:, 1:]
    batch = pseudo_collate(samples)
    with pytest.raises(
        ValueError,
        match=r'same shape to be augmented, but have \(3, 31, 32\), '
        r'\(3, 32, 32\). Let the pipeline',
    ):
        preprocessor(CROP)(batch, True)
    # All else pads them.
    assert preprocessor(CROP)(batch)['inputs'].shape == (16, 3, 32, 32)


def test_crop_larger_than_the_images(samples):
    crop = dict(type='mmdskd.BatchRandomCrop', crop_size=41, padding=4)
    with pytest.raises(ValueError, match=r'at most .* \(40, 40\) with padd'):
        preprocessor(crop)(default_collate(samples), True)


def test_wrong_arguments():
    with pytest.raises(TypeError, match='augments should be a list of batch'):
        AugmentingDataPreprocessor(CROP)
    with pytest.raises(ValueError, match='augments should be at least one'):
        AugmentingDataPreprocessor([])
    with pytest.raises(TypeError, match='unexpected keyword'):
        preprocessor(CROP, means=[3])
