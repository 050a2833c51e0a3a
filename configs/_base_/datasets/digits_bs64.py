# In memory, as cifar100_bs64.py tells; or, appending "_per_image", not.
_base_ = './digits_bs64_per_image.py'

data_preprocessor = dict(
    type='mmdskd.AugmentingDataPreprocessor',
    augments=[dict(type='mmdskd.BatchRandomCrop', crop_size=16, padding=1)],
)

test_pipeline = _base_.test_pipeline
collate_fn = dict(type='mmdskd.collate_batch')
train_dataloader = dict(
    collate_fn=collate_fn,
    dataset=dict(
        _delete_=True,
        type='mmdskd.InMemoryDataset',
        dataset=dict(
            type='mmdskd.Digits', split='train', pipeline=test_pipeline
        ),
    ),
)
val_dataloader = dict(
    collate_fn=collate_fn,
    dataset=dict(
        _delete_=True,
        type='mmdskd.InMemoryDataset',
        dataset=dict(
            type='mmdskd.Digits', split='test', pipeline=test_pipeline
        ),
    ),
)
