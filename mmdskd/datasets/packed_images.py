"""Images and their labels in one file."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Union

import numpy as np
from numpy.lib import format as npy

from mmdskd.utils.files import write_atomically


class PackedImages:
    """Images of one size and their labels, decoded, in one file.

    The file is mapped into memory: what is read stays in the page cache,
    which all workers and processes share. It is a plain ``.npy``, which
    ``numpy.load(path, mmap_mode='r')`` opens too, of one record with two
    fields: ``gt_label``, (N,) of uint16, and ``img``, (N, H, W, 3) of uint8,
    with the channels in MMCV's order B, G, R. No pickle is ever read.

    Copies and pickles of the object, as the workers of a data loader get
    them, hold the path alone.

    Args:
        path (str or Path): A file that :meth:`write` has written.

    Attributes:
        gt_labels (np.ndarray): The labels, (N,) of uint16.
        img_shape (tuple[int]): H, W and 3.

    Raises:
        OSError: If the file can't be read.
        ValueError: If it is not whole, or not such a file.
    """

    def __init__(self, path: Union[str, Path]) -> None:
        self.path = os.fspath(path)
        try:
            record = npy.open_memmap(self.path, mode='r')
            shape = record.dtype['img'].shape
        except (KeyError, ValueError) as error:
            raise self._make_error(str(error)) from error
        if record.dtype != _make_dtype(shape) or record.shape:
            raise self._make_error(f'it holds {record.dtype}')
        size = os.path.getsize(self.path)
        expected = record.offset + record.nbytes
        if size != expected:
            raise self._make_error(
                f'it has {size:,} bytes and not the '
                f'{expected:,} that its header tells of'
            )
        self.gt_labels = np.array(record['gt_label'])
        self.img_shape = shape[1:]
        self._imgs = record['img']

    def _make_error(self, reason: str) -> ValueError:
        return ValueError(
            f'{self.path} should be a whole file of packed images, but is '
            f'not: {reason}. Delete it, and pack the images again.'
        )

    def __len__(self) -> int:
        return len(self._imgs)

    def __getitem__(self, index: int) -> np.ndarray:
        """Read an image.

        Args:
            index (int): Position of the image.

        Returns:
            np.ndarray: A copy of it, (H, W, 3) of uint8.
        """
        return np.array(self._imgs[index])

    def __reduce__(self) -> tuple:
        return type(self), (self.path,)

    @staticmethod
    def write(
        path: Union[str, Path],
        imgs: Iterable[np.ndarray],
        gt_labels: Sequence[int],
        size: Sequence[int],
    ) -> None:
        """Write such a file. A kill leaves the old file, or none.

        Args:
            path (str or Path): The file.
            imgs (Iterable[np.ndarray]): The images, (H, W, 3) of uint8 each.
                Only one at a time is held in memory.
            gt_labels (Sequence[int]): Their labels, 0 to 65535.
            size (Sequence[int]): H and W.

        Raises:
            OSError: If the file can't be written.
            ValueError: If an image is of another shape or type, or there
                are more or fewer of them than labels.
        """
        shape = (len(gt_labels), *size, 3)
        dtype = _make_dtype(shape)

        def write(file: BinaryIO) -> None:
            npy.write_array_header_1_0(
                file,
                dict(
                    descr=npy.dtype_to_descr(dtype),
                    fortran_order=False,
                    shape=(),
                ),
            )
            file.write(np.array(gt_labels, dtype['gt_label'].base).tobytes())
            count = 0
            for count, img in enumerate(imgs, 1):
                if img.shape != shape[1:] or img.dtype != np.uint8:
                    raise ValueError(
                        f'Images should be {shape[1:]} of uint8, but number '
                        f'{count} is {img.shape} of {img.dtype}.'
                    )
                file.write(img.tobytes())
            if count != len(gt_labels):
                raise ValueError(
                    'There should be as many images as labels, '
                    f'but got {count} and {len(gt_labels)}.'
                )

        write_atomically(path, write)


def _make_dtype(shape: Sequence[int]) -> np.dtype:
    """Make the type of the record.

    Args:
        shape (Sequence[int]): Shape of the images, (N, H, W, 3).

    Returns:
        np.dtype: The type.
    """
    return np.dtype(
        [('gt_label', '<u2', tuple(shape[:1])), ('img', '|u1', tuple(shape))]
    )
