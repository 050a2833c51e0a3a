"""Fashion-MNIST of MMPretrain, also from Debian's package."""

import gzip
import hashlib
import os
import os.path as osp
import zlib
from typing import Any, ClassVar, Optional

import numpy as np
from mmengine import dist
from mmpretrain import datasets

from mmdskd.registry import DATASETS
from mmdskd.utils.rules import Choice

from .download import socket_timeout


@DATASETS.register_module()
class FashionMNIST(datasets.FashionMNIST):
    """MMPretrain's Fashion-MNIST, with splits for tuning.

    By H. Xiao, K. Rasul and R. Vollgraf, `Fashion-MNIST
    <https://arxiv.org/abs/1708.07747>`_, 2017: 70,000 grey images of clothes
    in 10 classes, uint8 of shape (28, 28). They come loaded, so the pipeline
    needs no loading transform.

    ============ ============================= ======= =====================
    split        images                        number  for
    ============ ============================= ======= =====================
    train        all training images           60,000  training
    test         all test images               10,000  the reported accuracy
    tune_train   the first training images     55,000  training, while
                                                       settings are chosen
    tune_val     the last training images      5,000   choosing settings
    ============ ============================= ======= =====================

    Each file is read as it is or as ``.gz``, from ``data_root`` or else from
    the folder of the package ``dataset-fashion-mnist`` of Debian and Ubuntu.
    If a file of the split is in neither, MMPretrain downloads all four to
    ``data_root``. A file whose content has not the MD5 of the original counts
    as missing.

    Unlike in MMPretrain, ``test_mode`` does not decide which images are read.

    Args:
        data_root (str): The folder of the files.
        split (str): One of "train", "test", "tune_train" and "tune_val".
            Defaults to "train".
        **kwargs: Arguments of :class:`mmpretrain.datasets.FashionMNIST`, such
            as ``pipeline``, ``indices`` and ``download``.

    Raises:
        ValueError: If ``split`` is none of the above.
        FileNotFoundError: If a file of the split is missing or broken, and
            the files can't be downloaded or should not be.

    Examples:
        The first 6,000 training images, kept in memory:

        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     num_workers=0,
        ...     collate_fn=dict(type='mmdskd.collate_batch'),
        ...     dataset=dict(
        ...         type='mmdskd.InMemoryDataset',
        ...         dataset=dict(
        ...             type='mmdskd.FashionMNIST',
        ...             data_root='data/fashion_mnist',
        ...             split='train',
        ...             indices=6000,
        ...             pipeline=[dict(type='PackInputs')])),
        ...     sampler=dict(type='DefaultSampler', shuffle=True))
    """

    # Names of the files with the images and the labels, and which of them.
    TRAIN_FILES = ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte')
    TEST_FILES = ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte')
    SPLITS = {
        'train': (TRAIN_FILES, slice(0, 60000)),
        'test': (TEST_FILES, slice(0, 10000)),
        'tune_train': (TRAIN_FILES, slice(0, 55000)),
        'tune_val': (TRAIN_FILES, slice(55000, 60000)),
    }
    # Of the content: the .gz files differ, as Debian has compressed its own.
    MD5 = {
        'train-images-idx3-ubyte': 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
        'train-labels-idx1-ubyte': '9018921c3c673c538a1fc5bad174d6f9',
        't10k-images-idx3-ubyte': '8181f5470baa50b63fa0f6fddb340f0a',
        't10k-labels-idx1-ubyte': '15d484375f8d13e6eb1aabb0c3f46965',
    }
    debian_folder = '/usr/share/datasets/fashion-mnist'
    # Seconds until the download is given up if the server does not answer.
    timeout = 30.0

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(split=Choice(tuple(SPLITS)))

    def __init__(
        self, data_root: str, split: str = 'train', **kwargs: Any
    ) -> None:
        if split not in self.SPLITS:
            raise ValueError(
                f'split should be one of {list(self.SPLITS)}, '
                f'but got {split!r}.'
            )
        self.files, self.span = self.SPLITS[split]
        # MMPretrain knows two splits.
        super().__init__(
            data_root, 'test' if split == 'test' else 'train', **kwargs
        )
        self.split = split

    def load_data_list(self) -> list[dict]:
        """Read the images and labels of the split.

        Returns:
            list[dict]: For each image ``img``, uint8 of shape (28, 28), and
            ``gt_label``.

        Raises:
            FileNotFoundError: If a file of the split is missing or broken,
                and the files can't be downloaded or should not be.
        """
        contents, bad_files = self._read_files()
        error = None
        if bad_files and self.download and dist.is_main_process():
            error = self._try_download()
        dist.barrier()
        if bad_files:
            contents, bad_files = self._read_files()
        if bad_files:
            root = self.data_prefix['root']
            ending = f' The attempt to do so ended with: {error}'
            raise FileNotFoundError(
                f'Fashion-MNIST should be in "{root}" or '
                f'"{self.debian_folder}", each file as it is or as .gz, but '
                f'{"; ".join(bad_files)} (looked from {os.getcwd()}). Run '
                '"apt install dataset-fashion-mnist" on Debian or Ubuntu, or '
                f'download the four .gz files of {self.url_prefix} to '
                f'"{root}".{ending if error else ""}'
            ) from error
        imgs, gt_labels = map(_parse, contents)
        return [
            dict(img=img, gt_label=int(gt_label))
            for img, gt_label in zip(imgs[self.span], gt_labels[self.span])
        ]

    def extra_repr(self) -> list[str]:
        """Describe the data in the dataset's ``repr``.

        Returns:
            list[str]: One line for the split, and one for the folder.
        """
        return [f'Split: \t{self.split}', *super().extra_repr()]

    def _try_download(self) -> Optional[Exception]:
        """Download the files, and return what failed."""
        try:
            with socket_timeout(self.timeout):
                self._download()
        except (OSError, RuntimeError) as error:
            return error
        return None

    def _read_files(self) -> tuple[list[bytes], list[str]]:
        """Read the files of the split.

        Returns:
            tuple: The contents of those that are whole, and what is wrong
            with the others, for each folder.
        """
        contents, bad_files = [], []
        for name in self.files:
            problems = []
            for folder in (self.data_prefix['root'], self.debian_folder):
                path = osp.join(osp.expanduser(folder), name)
                found = [p for p in (path, f'{path}.gz') if osp.isfile(p)]
                whole = [
                    content
                    for content in map(_read_file, found)
                    if hashlib.md5(content).hexdigest() == self.MD5[name]
                ]
                if whole:
                    contents.append(whole[0])
                    break
                problems += [
                    f'{p} is broken, the MD5 of its content is not '
                    f'{self.MD5[name]}'
                    for p in found
                ] or [f'{path}.gz is missing']
            else:
                bad_files += problems
        return contents, bad_files


def _read_file(path: str) -> bytes:
    """Read a file that may be compressed: nothing, if it can't be unpacked."""
    open_file = gzip.open if path.endswith('.gz') else open
    try:
        with open_file(path, 'rb') as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b''


def _parse(content: bytes) -> np.ndarray:
    """Parse the IDX format of bytes: 0, 0, 8, the number of dimensions, each
    size as four bytes, and the values."""
    ndim = content[3]
    shape = np.frombuffer(content, '>i4', count=ndim, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * ndim).reshape(shape)
