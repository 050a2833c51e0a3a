from mmengine.dataset import DefaultSampler, default_collate
from mmpretrain.datasets import PackInputs
from mmpretrain.evaluation import Accuracy

from mmdskd.datasets import CIFAR100, InMemoryDataset, collate_batch
from mmdskd.models import (
    AugmentingDataPreprocessor,
    BatchRandomCrop,
    BatchRandomFlip,
)

# The normalisation of the KD field, of 0..255; MMPretrain's is another.
data_preprocessor = dict(
    type=AugmentingDataPreprocessor,
    augments=[
        dict(type=BatchRandomCrop, crop_size=32, padding=4),
        dict(type=BatchRandomFlip, prob=0.5),
    ],
    num_classes=100,
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
    to_rgb=False,
)

test_pipeline = [dict(type=PackInputs)]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type=collate_batch),
    dataset=dict(
        type=InMemoryDataset,
        dataset=dict(
            type=CIFAR100,
            data_root='data/cifar100',
            split='train',
            pipeline=test_pipeline,
        ),
    ),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type=collate_batch),
    dataset=dict(
        type=InMemoryDataset,
        dataset=dict(
            type=CIFAR100,
            data_root='data/cifar100',
            split='test',
            pipeline=test_pipeline,
        ),
    ),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
val_evaluator = dict(type=Accuracy, topk=(1,))
# A test reads each image once, so it does not load them all before.
test_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type=default_collate),
    dataset=dict(
        type=CIFAR100,
        data_root='data/cifar100',
        split='test',
        pipeline=test_pipeline,
    ),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
test_evaluator = val_evaluator
