"""The recipe of Tiny-ImageNet: what its base config does to images."""

from pathlib import Path
from unittest import mock

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from PIL import Image
from torchvision.transforms import functional

from mmdskd.datasets import TinyImageNet
from mmdskd.datasets.packed_images import PackedImages

CONFIG = (
    Path(__file__).parents[2]
    / 'configs/_base_/datasets/'
    / 'tiny_imagenet_bs256.py'
)


@pytest.mark.parametrize('packed', [False, True])
def test_config_normalises_as_the_field(tiny_imagenet_folder, packed):
    root = tiny_imagenet_folder()
    if packed:
        dataset = TinyImageNet(str(root), 'val', check_complete=False)
        PackedImages.write(
            root / 'val.npy',
            (data['img'] for data in dataset),
            dataset.get_gt_labels(),
            (64, 64),
        )
    cfg = Config.fromfile(CONFIG)
    loader = cfg.val_dataloader
    loader.num_workers = 2
    loader.batch_size = 12
    loader.dataset.update(data_root=str(root), check_complete=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader)
        preprocess = MODELS.build(cfg.data_preprocessor)
    (batch,) = [preprocess(batch) for batch in loader]
    labels = [int(sample.gt_label) for sample in batch['data_samples']]
    assert labels == [2, 1, 0] * 4
    expected = []
    for i in range(12):
        img = np.array(Image.open(root / f'val/images/val_{i}.JPEG')) / 255
        expected.append(
            (img - (0.4802, 0.4481, 0.3975)) / (0.2302, 0.2265, 0.2262)
        )
    expected = torch.tensor(np.array(expected)).permute(0, 3, 1, 2)
    # Decoders may differ in bits, which is less than 3 of 255.
    assert (batch['inputs'] - expected).abs().max() < 3 / 255 / 0.22
    assert (batch['inputs'] - expected).abs().mean() < 0.01


def test_config_rotates_as_torchvision():
    """As RandomRotation(20): uniform angles, nearest pixel, black."""
    # By its scope, whatever the default scope of other tests is
    (rotate,) = Config.fromfile(CONFIG).train_pipeline[:1]
    rotate = TRANSFORMS.build(dict(_scope_='mmpretrain', **rotate))
    img = np.random.RandomState(0).randint(1, 256, (64, 64, 3), np.uint8)
    np.random.seed(0)
    angles, shares = [], []
    with mock.patch('mmcv.imrotate', wraps=mmcv.imrotate) as imrotate:
        for _ in range(2000):
            rotated = rotate(dict(img=img))['img']
            angles.append(imrotate.call_args[0][1])
            # Clockwise here, counterclockwise in torchvision
            expected = functional.rotate(Image.fromarray(img), -angles[-1])
            shares.append((rotated == np.array(expected)).all(-1).mean())
    # All but what lies between two pixels, to the last bits
    assert np.mean(shares) > 0.998 and min(shares) > 0.98
    # The test of Kolmogorov and Smirnov at 1 %
    uniform = (np.sort(angles) + 20) / 40
    steps = np.arange(2001) / 2000
    distance = max((uniform - steps[:-1]).max(), (steps[1:] - uniform).max())
    assert distance < 1.63 / 2000**0.5
    assert min(angles) >= -20 and max(angles) <= 20


def test_config_of_training(tiny_imagenet_folder):
    cfg = Config.fromfile(CONFIG)
    loader = cfg.train_dataloader
    assert loader.batch_size == 256
    kinds = [transform.type for transform in loader.dataset.pipeline]
    assert kinds == ['Rotate', 'RandomFlip', 'PackInputs']
    assert loader.dataset.pipeline[1] == dict(
        type='RandomFlip', prob=0.5, direction='horizontal'
    )
    loader.num_workers = 1
    loader.dataset.update(
        data_root=str(tiny_imagenet_folder()), check_complete=False
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader, seed=0)
    (batch,) = loader
    assert batch['inputs'].shape == (12, 3, 64, 64)
    assert batch['inputs'].dtype == torch.uint8
