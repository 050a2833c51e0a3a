import hashlib
import pickle
import shutil
import socket
import tarfile
from pathlib import Path

import mmpretrain.datasets
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmdskd.datasets import CIFAR10, CIFAR100

CONFIGS = Path(__file__).parents[2] / 'configs/_base_/datasets'
BOTH = pytest.mark.parametrize('cifar', [CIFAR10, CIFAR100])


@pytest.fixture
def offline(monkeypatch):
    """Let no download leave this machine."""
    for name in ('CIFAR10', 'CIFAR100'):
        monkeypatch.setattr(
            f'mmpretrain.datasets.{name}.url', 'file:///no/such/archive.tar.gz'
        )


@BOTH
def test_data_are_those_of_mmpretrain(cifar_folder, cifar):
    root = cifar_folder(cifar.__name__)
    for split, size in (('train', 16 * len(cifar.train_list)), ('test', 16)):
        dataset = cifar(str(root), split)
        expected = getattr(mmpretrain.datasets, cifar.__name__)(
            str(root), split
        )
        assert len(dataset) == len(expected) == size
        for i in range(size):
            np.testing.assert_array_equal(
                dataset[i]['img'], expected[i]['img']
            )
            assert dataset[i]['gt_label'] == expected[i]['gt_label']
        assert dataset.metainfo == expected.metainfo


@BOTH
def test_class_names_need_no_file(cifar_folder, cifar):
    root = cifar_folder(cifar.__name__)
    (root / cifar.base_folder / cifar.meta['filename']).unlink()
    classes = cifar(str(root)).metainfo['classes']
    assert len(classes) == {'CIFAR10': 10, 'CIFAR100': 100}[cifar.__name__]


@BOTH
def test_missing_folder(tmp_path, offline, cifar):
    root = tmp_path / 'data'
    first, last = cifar.train_list[0][0], cifar.test_list[0][0]
    with pytest.raises(
        FileNotFoundError,
        match=f'{root}.*" should hold the folder {cifar.base_folder} of '
        rf'file:.*archive.tar.gz \(MD5 {cifar.tgz_md5}\), but .*{root}.*'
        rf'/{first} is missing; .*/{last} is missing \(looked from /.*\).'
        ' Unpack the archive there. .* ended with: .*No such file',
    ):
        cifar(str(root))


def test_download_switched_off(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match='cifar-100-python.tar.gz .*train is missing; .*test is miss'
        'ing.*`download=True`',
    ):
        CIFAR100(str(tmp_path), download=False)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    'spoil, problem',
    [
        (truncate, 'is broken, its MD5 is not [0-9a-f]{32}'),
        (remove, 'is missing'),
    ],
)
@pytest.mark.parametrize(
    'cifar, name',
    [(CIFAR100, 'train'), (CIFAR100, 'test'), (CIFAR10, 'data_batch_4')],
)
def test_half_unpacked_folder(
    cifar_folder, offline, cifar, name, spoil, problem
):
    root = cifar_folder(cifar.__name__)
    path = root / cifar.base_folder / name
    spoil(path)
    # One file is told: the others are whole.
    with pytest.raises(
        FileNotFoundError, match=rf', but {path} {problem} \(looked'
    ):
        cifar(str(root))


class Attack:
    def __reduce__(self):
        return exec, ('raise SystemExit("code was run")',)


def test_no_other_pickle_is_loaded(cifar_folder, offline):
    root = cifar_folder('CIFAR100')
    content = pickle.dumps(Attack())
    with pytest.raises(SystemExit):
        pickle.loads(content)
    (root / 'cifar-100-python/train').write_bytes(content)
    with pytest.raises(FileNotFoundError, match='train is broken'):
        CIFAR100(str(root))


def test_archive_is_still_downloaded(cifar_folder, tmp_path, monkeypatch):
    root = cifar_folder('CIFAR100')
    archive = tmp_path / 'archive.tar.gz'
    with tarfile.open(archive, 'w:gz') as file:
        file.add(root / 'cifar-100-python', 'cifar-100-python')
    expected = CIFAR100(str(root)).get_gt_labels()
    shutil.rmtree(root)
    monkeypatch.setattr(mmpretrain.datasets.CIFAR100, 'url', archive.as_uri())
    with pytest.raises(
        FileNotFoundError, match='ended with: File not found or corrup'
    ):
        CIFAR100(str(root))  # The checksum is that of the real archive.
    monkeypatch.setattr(
        mmpretrain.datasets.CIFAR100,
        'tgz_md5',
        hashlib.md5(archive.read_bytes()).hexdigest(),
    )
    assert CIFAR100(str(root)).get_gt_labels().tolist() == expected.tolist()


def test_server_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR100, 'timeout', 0.1)
    with socket.create_server(('127.0.0.1', 0)) as server:
        monkeypatch.setattr(
            mmpretrain.datasets.CIFAR100,
            'url',
            f'http://127.0.0.1:{server.getsockname()[1]}/archive.tar.gz',
        )
        with pytest.raises(
            FileNotFoundError, match='train is missing.*timed out'
        ):
            CIFAR100(str(tmp_path))
    assert socket.getdefaulttimeout() is None


def test_other_errors_stay_as_they_are(cifar_folder, monkeypatch):
    root = cifar_folder('CIFAR100')
    monkeypatch.setattr(
        'mmpretrain.datasets.cifar.pickle.loads', lambda *args, **kwargs: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        CIFAR100(str(root))
    error = OSError('a full disk')

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr('mmpretrain.datasets.cifar.pickle.loads', fail)
    with pytest.raises(OSError) as caught:
        CIFAR100(str(root))
    assert caught.value is error


@pytest.mark.parametrize(
    'name, mean, std',
    [
        ('CIFAR10', (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ('CIFAR100', (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    ],
)
def test_configs_normalise_as_the_field(cifar_folder, name, mean, std):
    root = cifar_folder(name)
    cfg = Config.fromfile(CONFIGS / f'{name.lower()}_bs64.py')
    preprocess = MODELS.build(cfg.data_preprocessor)
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'test'),
        (cfg.test_dataloader, 'test'),
    ):
        dataset = loader.dataset
        if split == 'train' or loader is cfg.val_dataloader:
            assert dataset.type == 'mmdskd.InMemoryDataset'
            dataset = dataset.dataset
        assert dataset.data_root == f'data/{name.lower()}'
        assert dataset.split == split
        assert dataset.type == f'mmdskd.{name}'
    loader = cfg.test_dataloader
    loader.num_workers = 1
    loader.dataset.data_root = str(root)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = Runner.build_dataloader(loader)
    (batch,) = [preprocess(batch) for batch in loader]
    classes = {'CIFAR10': 10, 'CIFAR100': 100}[name]
    assert len(loader.dataset.CLASSES) == classes
    assert cfg.data_preprocessor.num_classes == classes
    imgs = np.stack([loader.dataset[i]['inputs'] for i in range(16)])
    expected = (imgs / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(
        std, (3, 1, 1)
    )
    torch.testing.assert_close(
        batch['inputs'], torch.tensor(expected, dtype=torch.float32)
    )
    labels = [int(sample.gt_label) for sample in batch['data_samples']]
    assert labels == loader.dataset.get_gt_labels().tolist()
