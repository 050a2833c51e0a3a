from mmcv.transforms import Resize
from mmengine.dataset import DefaultSampler
from mmpretrain.datasets import PackInputs
from mmpretrain.evaluation import Accuracy

from mmdskd.datasets import Digits, InMemoryDataset, collate_batch
from mmdskd.models import AugmentingDataPreprocessor, BatchRandomCrop

# Mean and standard deviation of the training half at 16 px, of 0..255.
data_preprocessor = dict(
    type=AugmentingDataPreprocessor,
    augments=[dict(type=BatchRandomCrop, crop_size=16, padding=1)],
    num_classes=10,
    mean=[78.4],
    std=[81.7],
)

test_pipeline = [dict(type=Resize, scale=(16, 16)), dict(type=PackInputs)]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    collate_fn=dict(type=collate_batch),
    dataset=dict(
        type=InMemoryDataset,
        dataset=dict(type=Digits, split='train', pipeline=test_pipeline),
    ),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    collate_fn=dict(type=collate_batch),
    dataset=dict(
        type=InMemoryDataset,
        dataset=dict(type=Digits, split='test', pipeline=test_pipeline),
    ),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
val_evaluator = dict(type=Accuracy, topk=(1,))
test_dataloader = dict(
    batch_size=256,
    num_workers=0,
    dataset=dict(
        type=Digits, split='test', pipeline=test_pipeline, test_mode=True
    ),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
test_evaluator = val_evaluator
