_base_ = [
    '../../_base_/datasets/digits_bs64_per_image.py',
    '../../_base_/models/digits/resnet20.py',
    '../../_base_/schedules/digits_40e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet20

# The teacher is trained once, so it may learn from more: another hand slants,
# turns and spaces its digits in another way.
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomResize', scale=(16, 16), ratio_range=(0.9, 1.1)),
            dict(
                type='Shear',
                magnitude_range=(0, 0.2),
                magnitude_std='inf',
                prob=1.0,
                pad_val=0,
                interpolation='bilinear',
            ),
            dict(
                type='Rotate',
                magnitude_range=(0, 10),
                magnitude_std='inf',
                prob=1.0,
                pad_val=0,
                interpolation='bilinear',
            ),
            dict(
                type='RandomCrop', crop_size=16, padding=1, pad_if_needed=True
            ),
            dict(type='PackInputs'),
        ]
    )
)
