"""Folders of Tiny-ImageNet that are not as the archive unpacks."""

import shutil

import pytest

from mmdskd.datasets.tiny_imagenet_folder import TinyImageNetFolder


def read(root, split='train'):
    """Read what the data set reads."""
    folder = TinyImageNetFolder(root, 200, 500, check_complete=False)
    folder.read_class_names()
    return dict(train=folder.list_train, val=folder.list_val)[split]()


def test_missing_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='data_root should be the folder "tiny-imagenet-200" with '
        'wnids.txt, words.txt, train and val, .*no/where" does not exist '
        r'\(looked from .*\).*http://cs231n.stanford.edu/'
        'tiny-imagenet-200.zip',
    ):
        read(tmp_path / 'no/where')


def test_other_folder(tmp_path):
    for number in range(5):
        (tmp_path / f'photo{number}').touch()
    with pytest.raises(
        FileNotFoundError, match='holds photo0, photo1, photo2 and 2 more'
    ):
        read(tmp_path)


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
            f'{ANNOTATIONS}, line 3: the wnid should be one of wnids.txt, '
            "but is '0'",
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
            'wnids.txt, line 2: should be a WordNet id of its own, '
            '"n" and 8 digits, but is \'goldfish\'',
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
    read(root, split)
    spoil(root)
    kind = FileNotFoundError if 'is miss' in message else ValueError
    with pytest.raises(kind, match=f'{message}.*Unpack http://cs231n'):
        read(root, split)


def test_files_that_are_no_text(tiny_imagenet_folder):
    root = tiny_imagenet_folder()
    (root / 'val/val_annotations.txt').write_bytes(b'\xff\xd8\xff\xe0')
    with pytest.raises(ValueError, match='line 1: should be "file TAB'):
        read(root, 'val')
