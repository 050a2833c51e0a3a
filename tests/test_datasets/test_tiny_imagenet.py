import pickle
import shutil
from pathlib import Path
from unittest import mock

import mmcv
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from mmdskd.datasets import TinyImageNet
from mmdskd.datasets.packed_images import PackedImages

CONFIG = (
    Path(__file__).parents[2]
    / 'configs/_base_/datasets/'
    / 'tiny_imagenet_bs256.py'
)


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


@pytest.mark.parametrize('packed', [False, True])
def test_config_normalises_as_the_field(tiny_imagenet_folder, packed):
    root = tiny_imagenet_folder()
    if packed:
        pack(root, 'val')
    cfg = Config.fromfile(CONFIG)
    loader = cfg.val_dataloader
    loader.num_workers = 2
    loader.batch_size = 12
    loader.dataset.update(data_root=str(root), check_complete=False)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader)
        preprocess = MODELS.build(cfg.data_preprocessor)
    (batch,) = [preprocess(batch) for batch in loader]
    labels = [int(sample.gt_label) for sample in batch['data_samples']]
    assert labels == [2, 1, 0] * 4
    expected = []
    for i in range(12):
        img = np.array(Image.open(root / f'val/images/val_{i}.JPEG')) / 255
        expected.append(
            (img - (0.4802, 0.4481, 0.3975)) / (0.2302, 0.2265, 0.2262)
        )
    expected = torch.tensor(np.array(expected)).permute(0, 3, 1, 2)
    # Decoders may differ in bits, which is less than 3 of 255.
    assert (batch['inputs'] - expected).abs().max() < 3 / 255 / 0.22
    assert (batch['inputs'] - expected).abs().mean() < 0.01


def test_config_rotates_as_torchvision():
    """As RandomRotation(20): uniform angles, nearest pixel, black."""
    # By its scope, whatever the default scope of other tests is
    (rotate,) = Config.fromfile(CONFIG).train_pipeline[:1]
    rotate = TRANSFORMS.build(dict(_scope_='mmpretrain', **rotate))
    img = np.random.RandomState(0).randint(1, 256, (64, 64, 3), np.uint8)
    np.random.seed(0)
    angles, shares = [], []
    with mock.patch('mmcv.imrotate', wraps=mmcv.imrotate) as imrotate:
        for _ in range(2000):
            rotated = rotate(dict(img=img))['img']
            angles.append(imrotate.call_args[0][1])
            # Clockwise here, counterclockwise in torchvision
            expected = functional.rotate(Image.fromarray(img), -angles[-1])
            shares.append((rotated == np.array(expected)).all(-1).mean())
    # All but what lies between two pixels, to the last bits
    assert np.mean(shares) > 0.998 and min(shares) > 0.98
    # The test of Kolmogorov and Smirnov at 1 %
    uniform = (np.sort(angles) + 20) / 40
    steps = np.arange(2001) / 2000
    distance = max((uniform - steps[:-1]).max(), (steps[1:] - uniform).max())
    assert distance < 1.63 / 2000**0.5
    assert min(angles) >= -20 and max(angles) <= 20


def test_config_of_training(tiny_imagenet_folder):
    cfg = Config.fromfile(CONFIG)
    loader = cfg.train_dataloader
    assert loader.batch_size == 256
    kinds = [transform.type for transform in loader.dataset.pipeline]
    assert kinds == ['Rotate', 'RandomFlip', 'PackInputs']
    assert loader.dataset.pipeline[1] == dict(
        type='RandomFlip', prob=0.5, direction='horizontal'
    )
    loader.num_workers = 1
    loader.dataset.update(
        data_root=str(tiny_imagenet_folder()), check_complete=False
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader, seed=0)
    (batch,) = loader
    assert batch['inputs'].shape == (12, 3, 64, 64)
    assert batch['inputs'].dtype == torch.uint8


# Wrong input


def test_unknown_split(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"split should be one of \['train', 'val'\], but got "
        "'test'",
    ):
        TinyImageNet(str(tmp_path), 'test')


def test_missing_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='data_root should be the folder "tiny-imagenet-200" with '
        'wnids.txt, words.txt, train and val, .*no/where" does not exist '
        r'\(looked from .*\).*http://cs231n.stanford.edu/'
        'tiny-imagenet-200.zip',
    ):
        build(tmp_path / 'no/where')


def test_other_folder(tmp_path):
    for number in range(5):
        (tmp_path / f'photo{number}').touch()
    with pytest.raises(
        FileNotFoundError, match='holds photo0, photo1, photo2 and 2 more'
    ):
        build(tmp_path)


def no_words(root):
    (root / 'words.txt').unlink()


def no_annotations(root):
    (root / 'val/val_annotations.txt').unlink()


def no_train(root):
    shutil.rmtree(root / 'train')


def no_class_folder(root):
    shutil.rmtree(root / 'train/n00000001')


def no_image_of_a_class(root):
    for path in (root / 'train/n00000001/images').iterdir():
        path.unlink()


def another_class_folder(root):
    (root / 'train/n12345678').mkdir()


def no_val_images(root):
    shutil.rmtree(root / 'val/images')


def a_val_image_less(root):
    (root / 'val/images/val_5.JPEG').unlink()


def a_val_image_more(root):
    (root / 'val/images/val_99.JPEG').touch()


def replace(name, old, new):

    def spoil(root):
        path = root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return spoil


ANNOTATIONS = 'val/val_annotations.txt'


@pytest.mark.parametrize(
    'spoil, split, message',
    [
        (no_words, 'val', 'words.txt should be a file, but is missing'),
        (
            no_annotations,
            'val',
            f'{ANNOTATIONS} should be a file, but is missi',
        ),
        (
            no_train,
            'train',
            'for each class of wnids.txt, but n00000000 has 0, '
            'n00000001 has 0, n00000002 has 0',
        ),
        (no_class_folder, 'train', 'wnids.txt, but n00000001 has 0'),
        (
            no_image_of_a_class,
            'train',
            'train/<wnid>/images should hold 500 '
            '.JPEG files for each class of wnids.txt, but n00000001 has 0',
        ),
        (another_class_folder, 'train', 'but also holds n12345678'),
        (
            no_val_images,
            'val',
            f'{ANNOTATIONS}, line 1: the file should be one '
            'of .*val/images, which holds 0 .JPEG files.*val_0.JPEG',
        ),
        (
            a_val_image_less,
            'val',
            f'{ANNOTATIONS}, line 6: the file should .*'
            "holds 11 .JPEG files, and in no line before, but is 'val_5.JPEG'",
        ),
        (a_val_image_more, 'val', 'has no line for val_99.JPEG'),
        (
            replace(ANNOTATIONS, 'val_3', 'val_1'),
            'val',
            f'{ANNOTATIONS}, line 4: '
            "the file should be .*in no line before, but is 'val_1.JPEG'",
        ),
        (
            replace(ANNOTATIONS, 'val_2.JPEG\t', 'val_2.JPEG '),
            'val',
            f'{ANNOTATIONS}, line 3: the wnid should be one of wnids.txt, but is '
            "'0'",
        ),
        (
            replace(
                ANNOTATIONS,
                'val_1.JPEG\tn00000001\t0\t0\t62\t62',
                'val_1.JPEG',
            ),
            'val',
            f'{ANNOTATIONS}, line 2: should be "file TAB wnid TAB '
            "box\", but is 'val_1.JPEG'",
        ),
        (
            replace(ANNOTATIONS, 'n00000001', 'n00000007'),
            'val',
            f"{ANNOTATIONS}, line 2: the wnid should .*, but is 'n00000007'",
        ),
        (
            replace('wnids.txt', 'n00000001', 'goldfish'),
            'train',
            'wnids.txt, '
            'line 2: should be a WordNet id of its own, "n" and 8 digits, but is '
            "'goldfish'",
        ),
        (
            replace('wnids.txt', 'n00000001', 'n00000002'),
            'val',
            "wnids.txt, line 2: .* of its own.*, but is 'n00000002'",
        ),
        (
            replace('wnids.txt', 'n00000001\n', '\n'),
            'train',
            "line 2.*but is ''",
        ),
        (
            replace('words.txt', 'n00000001', 'n00000007'),
            'train',
            'name all classes of wnids.txt, but has no line for n00000001',
        ),
        (
            replace('words.txt', 'n00000001\t', 'n00000001 '),
            'val',
            'words.txt, line 2: should be "wnid TAB names", but is',
        ),
    ],
)
def test_half_unpacked_folder(tiny_imagenet_folder, spoil, split, message):
    root = tiny_imagenet_folder()
    build(root, split)
    spoil(root)
    kind = FileNotFoundError if 'is miss' in message else ValueError
    with pytest.raises(kind, match=f'{message}.*Unpack http://cs231n'):
        build(root, split)


def test_files_that_are_no_text(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    (root / 'val/val_annotations.txt').write_bytes(b'\xff\xd8\xff\xe0')
    with pytest.raises(ValueError, match='line 1: should be "file TAB'):
        build(root, 'val')


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
