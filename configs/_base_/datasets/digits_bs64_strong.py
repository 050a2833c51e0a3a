_base_ = './digits_bs64_per_image.py'

# For the teacher, which is trained once, so it may learn from more: another
# hand slants, turns and spaces its digits in another way.
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
