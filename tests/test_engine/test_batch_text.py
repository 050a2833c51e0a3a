import torch
from mmpretrain.structures import DataSample

from mmdskd.engine.batch_text import describe_samples

NAN = float('nan')


def sample(**metainfo):
    return DataSample(metainfo=metainfo)


def test_indices():
    batch = dict(
        inputs=[torch.zeros(1, 2, 2, dtype=torch.uint8)] * 2,
        data_samples=[sample(sample_idx=5), sample(sample_idx=0)],
    )
    assert describe_samples(batch) == 'samples of the batch: 5, 0'


def test_images_that_are_not_finite():
    images = torch.zeros(3, 1, 2, 2)
    images[2, 0, 1, 1] = NAN
    samples = [
        sample(sample_idx=i, img_path=f'cats/{i}.png') for i in (7, 8, 9)
    ]
    for inputs in (images, list(images)):
        assert describe_samples(dict(inputs=inputs, data_samples=samples)) == (
            'images that are not finite: 9 (cats/9.png); samples of the '
            'batch: 7, 8, 9'
        )


def test_without_indices():
    samples = [sample(img_path='a.png'), sample()]
    assert describe_samples(dict(data_samples=samples)) == (
        'samples of the batch: a.png, no. 1'
    )
    inputs = torch.full((2, 3), NAN)
    assert describe_samples(dict(inputs=inputs)) == (
        'images that are not finite: no. 0, no. 1; samples of the batch: '
        'no. 0, no. 1'
    )
    assert describe_samples({}) == 'samples of the batch: unknown'
    assert describe_samples([inputs]) == (
        'samples of the batch: unknown, it is no dict'
    )
