import copy
import pickle

import numpy as np
import pytest

from mmdskd.datasets.packed_images import PackedImages

IMGS = np.random.RandomState(0).randint(0, 256, (5, 6, 8, 3), dtype=np.uint8)
LABELS = [3, 0, 65535, 1, 3]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'train.npy'
    PackedImages.write(path, iter(IMGS), LABELS, (6, 8))
    return path


def images(packed):
    return np.stack([packed[index] for index in range(len(packed))])


def test_written_is_read(path):
    packed = PackedImages(path)
    assert len(packed) == 5
    np.testing.assert_array_equal(images(packed), IMGS)
    assert packed.gt_labels.tolist() == LABELS
    np.testing.assert_array_equal(packed[-1], IMGS[4])
    with pytest.raises(IndexError):
        packed[5]


def test_numpy_alone_reads_the_file(path):
    record = np.load(path, mmap_mode='r', allow_pickle=False)
    np.testing.assert_array_equal(record['img'], IMGS)
    assert record['gt_label'].tolist() == LABELS


def test_what_is_read_may_be_changed(path):
    packed = PackedImages(path)
    packed[0][:] = 0
    np.testing.assert_array_equal(packed[0], IMGS[0])


@pytest.mark.parametrize(
    'copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_hold_no_image(path, copied):
    packed = PackedImages(path)
    assert len(pickle.dumps(packed)) < 500 < IMGS.nbytes
    np.testing.assert_array_equal(images(copied(packed)), IMGS)


def test_writing_again_replaces(path):
    before = PackedImages(path)
    PackedImages.write(path, IMGS[:2], [7, 8], (6, 8))
    assert PackedImages(path).gt_labels.tolist() == [7, 8]
    # The old file lives on as long as it is open.
    np.testing.assert_array_equal(images(before), IMGS)


@pytest.mark.parametrize(
    'imgs, message',
    [
        (IMGS[:4], 'as many images as labels, but got 4 and 5'),
        (np.concatenate([IMGS, IMGS]), 'but got 10 and 5'),
        (
            [*IMGS[:4], IMGS[4, :5]],
            r'should be \(6, 8, 3\) of uint8, but number 5 is '
            r'\(5, 8, 3\) of uint8',
        ),
        (IMGS.astype(float), r'number 1 is \(6, 8, 3\) of float64'),
    ],
)
def test_failed_writing_leaves_the_old_file(path, imgs, message):
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        PackedImages.write(path, imgs, LABELS, (6, 8))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def truncate_to_header(path):
    path.write_bytes(path.read_bytes()[:100])


def append(path):
    path.write_bytes(path.read_bytes() + b'\0')


def empty(path):
    path.write_bytes(b'')


def other_file(path):
    path.write_bytes(b'PK\x03\x04 an archive')


def other_array(path):
    np.save(path, IMGS)


def other_fields(path):
    np.save(path, np.zeros((), [('img', 'u1', (2, 6, 8, 3))]))


def other_type(path):
    np.save(
        path,
        np.zeros(
            (), [('gt_label', '<u2', (2,)), ('img', '<f4', (2, 6, 8, 3))]
        ),
    )


def several_records(path):
    record = np.load(path)
    np.save(path, np.stack([record, record]))


@pytest.mark.parametrize(
    'spoil',
    [
        truncate,
        truncate_to_header,
        append,
        empty,
        other_file,
        other_array,
        other_fields,
        other_type,
        several_records,
    ],
)
def test_other_files_are_refused(path, spoil):
    spoil(path)
    with pytest.raises(
        ValueError,
        match=r'train\.npy should be a whole file of packed images, but '
        r'is not: .*pack the images again',
    ):
        PackedImages(path)


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


@pytest.mark.parametrize(
    'save',
    [
        lambda path: path.write_bytes(pickle.dumps(Attack())),
        lambda path: np.save(path, np.array([Attack()], object)),
    ],
)
def test_no_code_is_run(path, save):
    save(path)
    with pytest.raises(SystemExit):
        np.load(path, allow_pickle=True)
    with pytest.raises(ValueError, match='packed images'):
        PackedImages(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.npy'):
        PackedImages(tmp_path / 'none.npy')
