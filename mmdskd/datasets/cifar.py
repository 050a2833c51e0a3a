"""CIFAR of MMPretrain, with errors that name the files."""

import os
import os.path as osp
from typing import Any, ClassVar

from mmpretrain import datasets
from mmpretrain.datasets.utils import check_md5

from mmdskd.registry import DATASETS
from mmdskd.utils.rules import Choice

from .download import socket_timeout


class _NamesBadFiles(datasets.CIFAR10):
    """Makes MMPretrain's CIFAR tell which files keep it from loading.

    MMPretrain checks the files by their MD5 before it reads them, and if one
    is missing or wrong, downloads the archive. Where that fails, its error is
    that of the network alone.
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(split=Choice(('train', 'test')))

    # Seconds until the download is given up if the server does not answer.
    timeout = 30.0

    def load_data_list(self) -> list[dict]:
        """Load the images and labels.

        Returns:
            list[dict]: For each image ``img``, uint8 of shape (32, 32, 3), in
            the order R, G, B, and ``gt_label``.

        Raises:
            FileNotFoundError: If a file is missing or wrong, and the archive
                can't be downloaded or should not be.
        """
        try:
            with socket_timeout(self.timeout):
                return super().load_data_list()
        except (AssertionError, OSError, RuntimeError) as error:
            root = self.data_prefix['root']
            bad_files = self._find_bad_files(osp.join(root, self.base_folder))
            if not bad_files:
                raise
            raise FileNotFoundError(
                f'"{root}" should hold the folder {self.base_folder} of '
                f'{self.url} (MD5 {self.tgz_md5}), but '
                f'{"; ".join(bad_files)} (looked from {os.getcwd()}). Unpack '
                f'the archive there. The attempt to do so ended with: {error}'
            ) from error

    def _find_bad_files(self, folder: str) -> list[str]:
        """Find what is wrong with the files of the folder."""
        bad_files = []
        for name, md5 in self.train_list + self.test_list:
            path = osp.join(folder, name)
            if not osp.isfile(path):
                bad_files.append(f'{path} is missing')
            elif not check_md5(path, md5):
                bad_files.append(f'{path} is broken, its MD5 is not {md5}')
        return bad_files


@DATASETS.register_module()
class CIFAR10(_NamesBadFiles):
    """MMPretrain's CIFAR-10, with errors that name the files.

    Args:
        **kwargs: Arguments of :class:`mmpretrain.datasets.CIFAR10`.
    """


@DATASETS.register_module()
class CIFAR100(_NamesBadFiles, datasets.CIFAR100):
    """MMPretrain's CIFAR-100, with errors that name the files.

    Args:
        **kwargs: Arguments of :class:`mmpretrain.datasets.CIFAR100`.
    """
