dataset_type = 'mmdskd.TinyImageNet'
# The normalisation of the KD field, of 0..255.
data_preprocessor = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes=200,
    mean=[122.451, 114.2655, 101.3625],
    std=[58.701, 57.7575, 57.681],
    to_rgb=True,
)

train_pipeline = [
    # An angle of -20 to 20 degrees, as torchvision's RandomRotation(20)
    dict(
        type='Rotate',
        magnitude_range=(-20, 20),
        magnitude_std='inf',
        prob=1.0,
        random_negative_prob=0.0,
        pad_val=0,
        interpolation='nearest',
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    # Stacked by the workers, a batch comes over several times as fast.
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root='data/tiny-imagenet-200',
        split='train',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type=dataset_type,
        data_root='data/tiny-imagenet-200',
        split='val',
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator
