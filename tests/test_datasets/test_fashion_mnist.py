import gzip
import hashlib
import shutil
import socket
from pathlib import Path

import mmpretrain.datasets
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmdskd.datasets import FashionMNIST, InMemoryDataset

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
DEBIAN = Path(FashionMNIST.debian_folder)
IMAGES, LABELS = FashionMNIST.TRAIN_FILES
TEST_IMAGES, TEST_LABELS = FashionMNIST.TEST_FILES
PIPELINE = [dict(type='mmpretrain.PackInputs')]


def images(dataset):
    return np.stack([dataset[i]['img'] for i in range(len(dataset))])


@pytest.mark.parametrize('test_mode', [False, True])
def test_data_are_those_of_mmpretrain(fashion_mnist_folder, test_mode):
    """And the split alone decides which images they are."""
    root = fashion_mnist_folder(train=6, test=4, suffix='')
    for split, size in (('train', 6), ('test', 4)):
        dataset = FashionMNIST(str(root), split, test_mode=test_mode)
        expected = mmpretrain.datasets.FashionMNIST(
            str(root), test_mode=split == 'test'
        )
        assert len(dataset) == len(expected) == size
        assert dataset[0]['img'].dtype == np.uint8
        np.testing.assert_array_equal(images(dataset), images(expected))
        np.testing.assert_array_equal(
            dataset.get_gt_labels(), expected.get_gt_labels()
        )
        assert dataset.metainfo == expected.metainfo
        assert f'Split: \t{split}' in repr(dataset)


def test_compressed_files_are_read_in_place(fashion_mnist_folder):
    root = fashion_mnist_folder()
    before = sorted(root.iterdir())
    dataset = FashionMNIST(str(root))
    assert sorted(root.iterdir()) == before
    content = gzip.decompress((root / f'{IMAGES}.gz').read_bytes())
    np.testing.assert_array_equal(
        images(dataset).ravel(), np.frombuffer(content[16:], np.uint8)
    )


def test_folder_of_debian_is_read_in_place(
    fashion_mnist_folder, tmp_path, monkeypatch
):
    debian = fashion_mnist_folder()
    monkeypatch.setattr(FashionMNIST, 'debian_folder', str(debian))
    before = sorted(debian.iterdir())
    root = tmp_path / 'data'
    expected = images(FashionMNIST(str(debian)))
    np.testing.assert_array_equal(images(FashionMNIST(str(root))), expected)
    # A broken file of one's own is passed over.
    root.mkdir()
    (root / f'{LABELS}.gz').write_bytes(b'')
    np.testing.assert_array_equal(images(FashionMNIST(str(root))), expected)
    assert sorted(debian.iterdir()) == before
    assert [path.name for path in root.iterdir()] == [f'{LABELS}.gz']


def test_splits(fashion_mnist_folder):
    """With as many images as the original has, of one pixel each."""
    root = str(fashion_mnist_folder(train=60000, test=10000, size=1))
    labels = {
        split: FashionMNIST(root, split).get_gt_labels()
        for split in ('train', 'test', 'tune_train', 'tune_val')
    }
    sizes = [len(values) for values in labels.values()]
    assert sizes == [60000, 10000, 55000, 5000]
    np.testing.assert_array_equal(
        np.concatenate([labels['tune_train'], labels['tune_val']]),
        labels['train'],
    )
    for split in ('train', 'tune_train'):
        part = InMemoryDataset(
            FashionMNIST(root, split, indices=6000, pipeline=PIPELINE)
        )
        assert part.images.shape == (6000, 1, 1, 1)
        np.testing.assert_array_equal(
            part.get_gt_labels(), labels['train'][:6000]
        )


def test_unknown_split():
    with pytest.raises(
        ValueError,
        match=r"split should be one of \['train', 'test', 'tune_train', "
        r"'tune_val'\], but got 'val'",
    ):
        FashionMNIST('data/fashion_mnist', 'val')


def test_files_are_nowhere(tmp_path, fashion_mnist_folder):
    shutil.rmtree(fashion_mnist_folder())
    root, debian = tmp_path / 'data', tmp_path / 'debian'
    with pytest.raises(
        FileNotFoundError,
        match=f'Fashion-MNIST should be in "{root}/?" or "{debian}", each '
        f'file as it is or as .gz, but {root}/{IMAGES}.gz is missing; '
        f'{debian}/{IMAGES}.gz is missing; {root}/{LABELS}.gz is missing; '
        rf'{debian}/{LABELS}.gz is missing \(looked from {Path.cwd()}\). Run '
        '"apt install dataset-fashion-mnist" on Debian or Ubuntu, or '
        'download the four .gz files of file:///no/server/ to '
        f'"{root}/?". The attempt to do so ended with: .*No such file',
    ):
        FashionMNIST(str(root))


def test_download_switched_off(fashion_mnist_folder):
    root = fashion_mnist_folder()
    (root / f'{TEST_LABELS}.gz').unlink()
    with pytest.raises(
        FileNotFoundError, match=rf'{TEST_LABELS}.gz is missing.*"{root}/?"\.$'
    ):
        FashionMNIST(str(root), 'test', download=False)
    # To train without a test, half of the files is enough.
    assert len(FashionMNIST(str(root), download=False)) == 16


def truncate(content):
    return content[:-20]


def flip_a_bit(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def replace(content):
    return b'<html>404</html>'


@pytest.mark.parametrize('spoil', [truncate, flip_a_bit, replace])
@pytest.mark.parametrize('suffix', ['.gz', ''])
@pytest.mark.parametrize(
    'split, name',
    [('train', IMAGES), ('tune_val', IMAGES), ('test', TEST_IMAGES)],
)
def test_broken_file(fashion_mnist_folder, split, name, suffix, spoil):
    root = fashion_mnist_folder(suffix=suffix)
    path = root / f'{name}{suffix}'
    path.write_bytes(spoil(path.read_bytes()))
    # One file is told: the others are whole.
    with pytest.raises(
        FileNotFoundError,
        match=f', but {path} is broken, the MD5 of its content is not '
        rf'{FashionMNIST.MD5[name]}; \S*/debian/{name}.gz is missing \(looked',
    ):
        FashionMNIST(str(root), split)


def test_file_that_may_not_be_read(fashion_mnist_folder, monkeypatch):
    root = fashion_mnist_folder()
    error = PermissionError('not yours')

    def fail(*args):
        raise error

    monkeypatch.setattr('mmdskd.datasets.fashion_mnist.gzip.open', fail)
    with pytest.raises(PermissionError) as caught:
        FashionMNIST(str(root))
    assert caught.value is error


def test_missing_files_are_downloaded(
    fashion_mnist_folder, tmp_path, monkeypatch
):
    server = fashion_mnist_folder()
    expected = images(FashionMNIST(str(server)))
    root = tmp_path / 'data'
    monkeypatch.setattr(FashionMNIST, 'url_prefix', f'{server.as_uri()}/')
    with pytest.raises(FileNotFoundError, match='with: File not found or cor'):
        FashionMNIST(str(root))  # The checksums are those of the real files.
    for key in ('train_list', 'test_list'):
        checksums = [
            [name, hashlib.md5((server / name).read_bytes()).hexdigest()]
            for name, _ in getattr(FashionMNIST, key)
        ]
        monkeypatch.setattr(FashionMNIST, key, checksums)
    np.testing.assert_array_equal(images(FashionMNIST(str(root))), expected)
    # What was interrupted is repaired.
    (root / IMAGES).write_bytes(b'')
    (root / f'{IMAGES}.gz').write_bytes(b'')
    np.testing.assert_array_equal(images(FashionMNIST(str(root))), expected)


def test_only_the_first_process_downloads(fashion_mnist_folder, monkeypatch):
    root = fashion_mnist_folder()
    (root / f'{LABELS}.gz').unlink()
    monkeypatch.setattr(
        'mmdskd.datasets.fashion_mnist.dist.is_main_process', lambda: False
    )
    monkeypatch.setattr(FashionMNIST, '_download', lambda self: 1 / 0)
    with pytest.raises(FileNotFoundError, match=f'{LABELS}.gz is missing'):
        FashionMNIST(str(root))


def test_server_that_does_not_answer(
    fashion_mnist_folder, tmp_path, monkeypatch
):
    fashion_mnist_folder()
    before = socket.getdefaulttimeout()
    monkeypatch.setattr(FashionMNIST, 'timeout', 0.1)
    with socket.create_server(('127.0.0.1', 0)) as server:
        monkeypatch.setattr(
            FashionMNIST,
            'url_prefix',
            f'http://127.0.0.1:{server.getsockname()[1]}/',
        )
        with pytest.raises(FileNotFoundError, match='ended with: .*timed out'):
            FashionMNIST(str(tmp_path / 'data'))
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize('name', ['fashion_mnist', 'fashion_mnist6k'])
def test_configs(fashion_mnist_folder, name):
    cfg = Config.fromfile(CONFIGS / f'{name}_bs64.py')
    indices = 6000 if name == 'fashion_mnist6k' else None
    common = dict(
        type='mmdskd.FashionMNIST',
        data_root='data/fashion_mnist',
        pipeline=[dict(type='PackInputs')],
    )
    train = cfg.train_dataloader.dataset.to_dict()
    assert train['type'] == 'mmdskd.InMemoryDataset'
    assert train['dataset'].pop('indices', None) == indices
    assert train['dataset'] == dict(common, split='train')
    test = dict(common, split='test')
    assert cfg.val_dataloader.dataset.to_dict() == dict(
        type='mmdskd.InMemoryDataset', dataset=test
    )
    assert cfg.test_dataloader.dataset.to_dict() == test

    loader = cfg.train_dataloader
    loader.dataset.dataset.data_root = str(fashion_mnist_folder())
    loader.sampler.shuffle = False
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader)
    (batch,) = loader
    inputs = MODELS.build(cfg.data_preprocessor)(batch)['inputs']
    pixels = loader.dataset.images
    torch.testing.assert_close(inputs, (pixels - 72.94) / 90.02)


@pytest.mark.skipif(
    not DEBIAN.is_dir(), reason='needs the package dataset-fashion-mnist'
)
def test_files_of_debian(tmp_path):
    datasets = {
        split: FashionMNIST(str(tmp_path), split, download=False)
        for split in ('train', 'test')
    }
    labels = {key: value.get_gt_labels() for key, value in datasets.items()}
    assert [len(values) for values in labels.values()] == [60000, 10000]
    assert labels['train'][:3].tolist() == [9, 0, 0]
    assert labels['test'][:3].tolist() == [9, 2, 1]
    for split, count in (('train', 6000), ('test', 1000)):
        assert np.bincount(labels[split]).tolist() == 10 * [count]
    pixels = images(datasets['train'])
    assert pixels.shape == (60000, 28, 28)
    # The normalisation of the configs.
    assert pixels.mean() == pytest.approx(72.94, abs=0.005)
    assert pixels.std() == pytest.approx(90.02, abs=0.005)
