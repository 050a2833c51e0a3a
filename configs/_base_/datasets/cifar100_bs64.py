# The images are kept in memory, and augmented as whole batches on the device
# that trains. To run MMPretrain's pipeline for each image instead, append
# "_per_image" to the name of this file in the `_base_` of a config.
# (A test reads each image once, so it does not load them all before.)
_base_ = './cifar100_bs64_per_image.py'

data_preprocessor = dict(
    type='mmdskd.AugmentingDataPreprocessor',
    augments=[
        dict(type='mmdskd.BatchRandomCrop', crop_size=32, padding=4),
        dict(type='mmdskd.BatchRandomFlip', prob=0.5),
    ],
)

test_pipeline = _base_.test_pipeline
in_memory = dict(
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='mmdskd.collate_batch'),
)
train_dataloader = dict(
    **in_memory,
    dataset=dict(
        _delete_=True,
        type='mmdskd.InMemoryDataset',
        dataset=dict(
            type='mmdskd.CIFAR100',
            data_root='data/cifar100',
            split='train',
            pipeline=test_pipeline,
        ),
    ),
)
val_dataloader = dict(
    **in_memory,
    dataset=dict(
        _delete_=True,
        type='mmdskd.InMemoryDataset',
        dataset=dict(
            type='mmdskd.CIFAR100',
            data_root='data/cifar100',
            split='test',
            pipeline=test_pipeline,
        ),
    ),
)
