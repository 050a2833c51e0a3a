"""What can't be held in memory."""

import random
import re

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from mmdskd.datasets import Digits, InMemoryDataset

RESIZE = dict(type='mmpretrain.Resize', scale=(16, 16))


PACK = dict(type='mmpretrain.PackInputs')


class Apply(BaseTransform):
    """Applies a function to the image."""

    def __init__(self, function):
        self.function = function

    def transform(self, results):
        results['img'] = self.function(results['img'])
        return results


@TRANSFORMS.register_module(name='mmdskdTestDraw', force=True)
class Draw(BaseTransform):
    """Draws once, for one image in a hundred."""

    draws = dict(python=random.random, numpy=np.random.rand, torch=torch.rand)

    def __init__(self, source):
        self.source = source

    def transform(self, results):
        if results['sample_idx'] == 99:
            arguments = (1,) if self.source == 'torch' else ()
            self.draws[self.source](*arguments)
        return results


def digits(*transforms, **kwargs):
    return Digits(pipeline=list(transforms) or [RESIZE, PACK], **kwargs)


@pytest.mark.parametrize(
    'transform',
    [
        dict(type='mmpretrain.RandomCrop', crop_size=16, padding=1),
        dict(type='mmpretrain.RandomFlip', prob=0.01, direction='horizontal'),
        dict(type='mmpretrain.mmdskdTestDraw', source='python'),
        dict(type='mmpretrain.mmdskdTestDraw', source='numpy'),
        dict(type='mmpretrain.mmdskdTestDraw', source='torch'),
    ],
)
def test_random_pipeline_is_refused(transform):
    with pytest.raises(
        ValueError,
        match='pipeline should draw no random numbers.*Move the random '
        'transforms to the "augments" of mmdskd.Augm.*The pipeline: Comp',
    ):
        InMemoryDataset(digits(RESIZE, transform, PACK, indices=100))


def grow(image):
    """Images with a bright corner are larger."""
    return np.zeros((9, 8) if image[0, 2] > 100 else (8, 8), np.uint8)


class Label(BaseTransform):
    def __init__(self, **labels):
        self.labels = labels

    def transform(self, results):
        results.pop('gt_label')
        return {**results, **self.labels}


@pytest.mark.parametrize(
    'transforms, error, message',
    [
        (
            (Apply(grow), PACK),
            ValueError,
            r'should have the same shape, as by a Resize in the pipeline, '
            r'but that of image \d+ is \(1, 9, 8\), and of those before '
            r'\(1, 8, 8\)',
        ),
        (
            (Apply(np.float32), PACK),
            TypeError,
            r'should leave images as uint8 of \(C, H, W\) .* but gives '
            r'torch.float32 of \(1, 8, 8\) for image 0',
        ),
        (
            (Apply(lambda image: np.stack([[image]] * 2)), PACK),
            TypeError,
            r'gives torch.uint8 of \(2, 1, 8, 8\) for image 0',
        ),
        (
            (RESIZE,),
            TypeError,
            'should end with PackInputs, .* image 0 comes as '
            r"\['gt_label', 'img'",
        ),
        (
            (Label(gt_label=[1, 2]), PACK),
            ValueError,
            'should have one gt_label each, and nothing else, but image 0',
        ),
        ((Label(), PACK), ValueError, r'one gt_label each, .* image 0 has {}'),
        (
            (Label(gt_label=1, gt_score=torch.ones(10)), PACK),
            ValueError,
            'nothing else, but image 0 has .*gt_score',
        ),
    ],
)
def test_other_samples_are_refused(transforms, error, message):
    with pytest.raises(error, match=re.compile(message, re.DOTALL)):
        InMemoryDataset(digits(*transforms))


def test_empty_data_set():
    with pytest.raises(
        ValueError, match='(?s)should hold images, but .*is empty'
    ):
        InMemoryDataset(digits(indices=[], serialize_data=False))


@pytest.mark.parametrize('dataset', [None, [1, 2], 'mmdskd.Digits'])
def test_no_data_set(dataset):
    with pytest.raises(
        TypeError, match='should be the config of a data set, or a Base'
    ):
        InMemoryDataset(dataset)
