# In memory, as cifar100_bs64.py tells; or, appending "_per_image", not.
_base_ = './fashion_mnist_bs64_per_image.py'

data_preprocessor = dict(
    type='mmdskd.AugmentingDataPreprocessor',
    augments=[
        dict(type='mmdskd.BatchRandomCrop', crop_size=28, padding=2),
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
            type='mmdskd.FashionMNIST',
            data_root='data/fashion_mnist',
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
            type='mmdskd.FashionMNIST',
            data_root='data/fashion_mnist',
            split='test',
            pipeline=test_pipeline,
        ),
    ),
)
