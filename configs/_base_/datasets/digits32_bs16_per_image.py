# At the size of the CIFAR networks; in small batches, as epochs are few.
_base_ = './digits_bs64_per_image.py'

train_pipeline = [
    dict(type='Resize', scale=(32, 32)),
    dict(type='RandomCrop', crop_size=32, padding=2),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
