import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from torchvision.datasets import ImageFolder

from mmdskd.datasets import TinyImageNet
from mmdskd.datasets.packed_images import PackedImages


def build(root, split='train', **kwargs):
    kwargs.setdefault('check_complete', False)
    # Serialising collects garbage, which takes longer than all the rest.
    kwargs.setdefault('serialize_data', False)
    return TinyImageNet(str(root), split, **kwargs)


def images(dataset):
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


def pack(root, split):
    dataset = build(root, split)
    PackedImages.write(
        root / f'{split}.npy',
        images(dataset),
        dataset.get_gt_labels(),
        (64, 64),
    )


def test_training_images_are_those_of_image_folder(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    dataset = build(root)
    expected = ImageFolder(str(root / 'train'))
    assert len(dataset) == 12
    assert [
        (dataset[i]['img_path'], dataset[i]['gt_label']) for i in range(12)
    ] == expected.samples
    # The order of wnids.txt is another one.
    assert (root / 'wnids.txt').read_text().split() == expected.classes[::-1]
    assert dataset.get_cat_ids(11) == [2]
    np.testing.assert_allclose(  # As R, G, B; decoders may differ in bits.
        images(dataset)[..., ::-1].astype(float),
        np.stack([np.array(img) for img, _ in expected]),
        atol=3,
    )


def test_validation_labels_are_those_of_the_annotations(tiny_imagenet_folder):
    root = tiny_imagenet_folder(classes=3, images=4)
    dataset = build(root, 'val')
    # The fixture annotates the wnids 2, 1, 0, 2, 1, 0, ...
    assert dataset.get_gt_labels().tolist() == [2, 1, 0] * 4
    assert [
        Path(dataset[i]['img_path']).relative_to(root).as_posix()
        for i in range(12)
    ] == [f'val/images/val_{i}.JPEG' for i in range(12)]


def test_class_names_go_with_the_labels(tiny_imagenet_folder):
    root = tiny_imagenet_folder(classes=3)
    names = ('class 0, thing', 'class 1, thing', 'class 2, thing')
    for split in ('train', 'val'):
        assert build(root, split).metainfo['classes'] == names
    assert build(root, classes=['a', 'b', 'c']).CLASSES == ('a', 'b', 'c')


def test_images_are_those_of_the_usual_transform(tiny_imagenet_folder):
    dataset = build(tiny_imagenet_folder())
    load = LoadImageFromFile()
    assert dataset[0]['img'].dtype == np.uint8
    assert dataset[0]['img'].shape == (64, 64, 3)
    for index in range(len(dataset)):
        expected = load(dict(img_path=dataset[index]['img_path']))['img']
        np.testing.assert_array_equal(dataset[index]['img'], expected)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_packed_images_are_the_same(tiny_imagenet_folder, split):
    root = tiny_imagenet_folder()
    files = build(root, split)
    pack(root, split)
    expected = images(files), files.get_gt_labels().tolist()
    # From here on, only the packed file can be read.
    shutil.rmtree(root / 'train')
    shutil.rmtree(root / 'val')
    packed = build(root, split)
    np.testing.assert_array_equal(images(packed), expected[0])
    assert packed.get_gt_labels().tolist() == expected[1]
    assert packed.metainfo == files.metainfo
    assert str(root / f'{split}.npy') in repr(packed)
    # Also of a part, and in a copy, as the workers of a data loader get it
    part = build(root, split, indices=[7, 2], serialize_data=True)
    copied = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(images(copied), expected[0][[7, 2]])
    subset = packed.get_subset([7, 2])
    np.testing.assert_array_equal(images(subset), expected[0][[7, 2]])


def test_root_may_be_the_parent(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    assert build(root.parent)[3]['img_path'] == build(root)[3]['img_path']


def test_options_of_the_base_dataset(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    assert len(build(root, indices=5)) == 5
    dataset = build(root, 'val', lazy_init=True, serialize_data=True)
    assert "Haven't been initialized" in repr(dataset)
    dataset.full_init()
    assert 'Split: \tval' in repr(dataset)
    assert f'Images from: \t{root}' in repr(dataset)


def test_unknown_split(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"split should be one of \['train', 'val'\], but got "
        "'test'",
    ):
        TinyImageNet(str(tmp_path), 'test')


def test_empty_annotations(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    (root / 'val/val_annotations.txt').write_text('')
    shutil.rmtree(root / 'val/images')
    with pytest.raises(
        ValueError, match='should hold 10,000 images, but holds 0'
    ):
        build(root, 'val')


def test_part_of_the_data_is_told_by_default(
    tiny_imagenet_folder, monkeypatch
):
    root = tiny_imagenet_folder(classes=3, images=4)
    for split in ('train', 'val'):
        with pytest.raises(
            ValueError, match='should list 200 classes, but lists 3'
        ):
            TinyImageNet(str(root), split)
    monkeypatch.setattr(TinyImageNet, 'num_classes', 3)
    with pytest.raises(
        ValueError, match='should hold 33333 .*n00000000 has 4, n00'
    ):
        TinyImageNet(str(root), 'train')
    with pytest.raises(
        ValueError, match='val should hold 10,000 images, but holds 12'
    ):
        TinyImageNet(str(root), 'val')
    pack(root, 'train')
    with pytest.raises(
        ValueError, match='train.npy should hold 100,000 images, but'
    ):
        TinyImageNet(str(root), 'train')
    (root / 'train.npy').unlink()
    monkeypatch.setattr(TinyImageNet, 'num_images', dict(train=12, val=12))
    assert len(TinyImageNet(str(root), 'train')) == 12
    assert len(TinyImageNet(str(root), 'val')) == 12
    # One image of a class is enough to be missing.
    (root / 'train/n00000001/images/n00000001_0.JPEG').unlink()
    with pytest.raises(ValueError, match='4 .JPEG.*but n00000001 has 3'):
        TinyImageNet(str(root), 'train')


@pytest.mark.parametrize(
    'content, message',
    [
        (lambda whole: b'', r'can not be decoded \(0 bytes\)'),
        (lambda whole: whole[: len(whole) // 2], 'can not be decoded'),
        (lambda whole: whole[:-1], 'can not be decoded'),
        (lambda whole: whole[:-300] + bytes(300), 'can not be decoded'),
        (
            lambda whole: b'<html>gone</html>',
            r'can not be decoded \(17 bytes\)',
        ),
    ],
)
def test_broken_image(tiny_imagenet_folder, content, message):
    root = tiny_imagenet_folder()
    path = root / 'train/n00000001/images/n00000001_2.JPEG'
    path.write_bytes(content(path.read_bytes()))
    dataset = build(root)
    dataset[5]
    with pytest.raises(
        ValueError,
        match=rf'n00000001_2.JPEG should be a JPEG image of the shape '
        rf'\(64, 64, 3\), but {message}',
    ):
        dataset[6]


def test_image_that_went_missing(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    dataset = build(root, 'val')
    (root / 'val/images/val_3.JPEG').unlink()
    with pytest.raises(
        FileNotFoundError,
        match='val_3.JPEG should be an image, but is missing. Unpack http',
    ):
        dataset[3]


def test_image_of_another_size(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    Image.new('RGB', (64, 32)).save(root / 'val/images/val_3.JPEG')
    with pytest.raises(
        ValueError, match=r'val_3.JPEG should .* has the shape \(32, 64, 3\)'
    ):
        build(root, 'val')[3]


def test_grey_image(tiny_imagenet_folder):
    """There are about 2 % of them in the archive."""
    root = tiny_imagenet_folder()
    Image.new('L', (64, 64), 77).save(root / 'val/images/val_3.JPEG')
    img = build(root, 'val')[3]['img']
    assert img.shape == (64, 64, 3) and (img == 77).all()


def test_packed_file_of_other_data(tiny_imagenet_folder):
    root = tiny_imagenet_folder(classes=3)
    PackedImages.write(
        root / 'val.npy', np.zeros((2, 64, 64, 3), np.uint8), [1, 3], (64, 64)
    )
    with pytest.raises(
        ValueError,
        match='val.npy should have labels below 3, the number of classes '
        'in wnids.txt, but one is 3',
    ):
        build(root, 'val')


def test_packed_images_of_another_size(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    PackedImages.write(
        root / 'val.npy', np.zeros((2, 32, 32, 3), np.uint8), [1, 2], (32, 32)
    )
    with pytest.raises(
        ValueError,
        match=r'val.npy should have images of the shape \(64, 64, 3\), '
        r'but theirs is \(32, 32, 3\)',
    ):
        build(root, 'val')


def test_truncated_packed_file(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    pack(root, 'train')
    path = root / 'train.npy'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='train.npy should be a whole file'):
        build(root)


@pytest.mark.parametrize('packed', [False, True])
def test_images_need_no_loading_transform(tiny_imagenet_folder, packed):
    root = tiny_imagenet_folder()
    if packed:
        pack(root, 'val')
    with pytest.raises(
        ValueError, match='pipeline should be without LoadImageFromFile'
    ):
        build(
            root,
            'val',
            pipeline=[dict(type='LoadImageFromFile', _scope_='mmpretrain')],
        )
