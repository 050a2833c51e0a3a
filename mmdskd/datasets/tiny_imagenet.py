import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmpretrain.datasets import BaseDataset

from mmdskd.registry import DATASETS
from mmdskd.utils.text import shorten

from .packed_images import PackedImages

# The marker with which a JPEG ends.
JPEG_END = b'\xff\xd9'


@DATASETS.register_module()
class TinyImageNet(BaseDataset):
    """Tiny-ImageNet: 200 classes of ImageNet at 64x64 pixels.

    By Y. Le and X. Yang, Tiny ImageNet Visual Recognition Challenge, Stanford
    CS231n, 2015. There are 500 images per class to train on and 50 to
    validate on; as the test images have no labels, accuracy is reported on
    the latter. The folder is read as the archive unpacks::

        tiny-imagenet-200
        |-- wnids.txt                   WordNet ids of the classes
        |-- words.txt                   wnid TAB names
        |-- train/<wnid>/images/*.JPEG
        |-- val/images/*.JPEG
        |-- val/val_annotations.txt     file TAB wnid TAB box
        |-- train.npy, val.npy          if packed, see below

    Label i is the i-th wnid in alphabetical order. The order of ``wnids.txt``
    is another, but this is that of torchvision's ``ImageFolder`` and so of
    mdistiller and its checkpoints.

    The images come loaded, as from MMPretrain's CIFAR, so the pipeline needs
    no loading transform: ``img``, uint8 of shape (64, 64, 3), in MMCV's order
    B, G, R. They are taken from ``<split>.npy`` if it is there, and else from
    the JPEG files, with the same pixels.
    ``tools/dataset_converters/tiny_imagenet.py`` fetches the archive and
    packs the images into these two files, see
    :class:`~mmdskd.datasets.packed_images.PackedImages`: 1.4 GB, which spare
    opening and decoding 110,000 small files in each epoch.

    Args:
        data_root (str): The folder, or the one that it is in.
        split (str): "train" or "val". Defaults to "train".
        check_complete (bool): Whether there have to be as many classes and
            images as in the archive. Switch it off to use a part of them.
            Defaults to True.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``, ``test_mode`` and ``indices``.

    Raises:
        FileNotFoundError: If the folder or a file of it is missing.
        ValueError: If ``split`` is none of the above, or the folder is not
            as described, for example half unpacked.

    Examples:
        >>> val_dataloader = dict(
        ...     batch_size=256,
        ...     dataset=dict(
        ...         type='mmdskd.TinyImageNet',
        ...         data_root='data/tiny-imagenet-200',
        ...         split='val',
        ...         pipeline=[dict(type='PackInputs')]),
        ...     sampler=dict(type='DefaultSampler', shuffle=False))
    """

    url = 'http://cs231n.stanford.edu/tiny-imagenet-200.zip'
    # Published by other loaders of these data, for example Avalanche's.
    zip_md5 = '90528d7ca1a48142e341f4ef8d21d0de'
    base_folder = 'tiny-imagenet-200'
    img_shape = (64, 64, 3)
    num_classes = 200
    num_images = {'train': 100000, 'val': 10000}

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        check_complete: bool = True,
        **kwargs: Any,
    ) -> None:
        if split not in self.num_images:
            raise ValueError(
                'split should be one of '
                f'{list(self.num_images)}, but got {split!r}.'
            )
        self.split = split
        self.check_complete = check_complete
        self.packed = None
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Find the images and labels of the split, and the class names.

        Returns:
            list[dict]: For each image ``gt_label``, and ``img_path`` or, if
            the images are packed, ``img_index``. Images to train on are
            sorted by label and file name, those to validate on are in the
            order of the annotations.
        """
        if any(
            isinstance(transform, LoadImageFromFile)
            for transform in self.pipeline.transforms
        ):
            raise ValueError(
                'pipeline should be without LoadImageFromFile, '
                'as the images of TinyImageNet come loaded.'
            )
        root = self._find_root()
        labels = self._read_labels(root / 'wnids.txt')
        self._metainfo.setdefault(
            'classes', self._read_names(root / 'words.txt', labels)
        )
        source = root / f'{self.split}.npy'
        if source.is_file():
            data_list = self._list_packed(source, len(labels))
        else:
            source = root / self.split
            list_images = dict(train=self._list_train, val=self._list_val)
            data_list = list_images[self.split](source, labels)
        expected = self.num_images[self.split]
        if not data_list or (
            self.check_complete and (len(data_list) != expected)
        ):
            raise self._error(
                f'{source} should hold {expected:,} images, '
                f'but holds {len(data_list):,}.'
            )
        return data_list

    def prepare_data(self, idx: int) -> Any:
        """Load an image and pass it through the pipeline.

        Args:
            idx (int): Position of the image.

        Returns:
            Any: What the pipeline makes of it.
        """
        data_info = self.get_data_info(idx)
        data_info['img'] = self.load_image(data_info)
        return self.pipeline(data_info)

    def load_image(self, data_info: dict) -> np.ndarray:
        """Load an image.

        Args:
            data_info (dict): What :meth:`get_data_info` tells of it.

        Returns:
            np.ndarray: The image, (64, 64, 3) of uint8, as B, G, R.

        Raises:
            ValueError: If the file is broken, or of another size.
        """
        if self.packed is not None:
            return self.packed[data_info['img_index']]
        path = Path(data_info['img_path'])
        if not path.is_file():
            raise self._error(
                f'{path} should be an image, but is missing.',
                FileNotFoundError,
            )
        content = path.read_bytes()
        img = None
        # Some versions of OpenCV make up what a file has lost.
        if JPEG_END in content:
            img = mmcv.imfrombytes(content, backend='cv2')
        if img is None or img.shape != self.img_shape:
            found = 'can not be decoded'
            if img is not None:
                found = f'has the shape {img.shape}'
            raise self._error(
                f'{path} should be a JPEG image of the shape '
                f'{self.img_shape}, but {found} ({len(content):,} bytes).'
            )
        return img

    def extra_repr(self) -> list[str]:
        """Describe the data in the dataset's ``repr``.

        Returns:
            list[str]: One line for the split, and one for its place.
        """
        source = self.packed.path if self.packed else self.data_root
        return [f'Split: \t{self.split}', f'Images from: \t{source}']

    def _find_root(self) -> Path:
        """Find the folder: ``data_root``, or one in it."""
        given = Path(self.data_root).expanduser()
        for root in (given, given / self.base_folder):
            if (root / 'wnids.txt').is_file():
                return root
        found = 'does not exist'
        if given.is_dir():
            found = f'holds {shorten(sorted(os.listdir(given)))}'
        raise self._error(
            f'data_root should be the folder "{self.base_folder}" with '
            'wnids.txt, words.txt, train and val, or the folder that it is '
            f'in, but "{given}" {found} (looked from {os.getcwd()}).',
            FileNotFoundError,
        )

    def _read_labels(self, path: Path) -> dict[str, int]:
        """Read the label of each wnid from ``wnids.txt``."""
        wnids = []
        for number, wnid in self._read_lines(path):
            if not re.fullmatch(r'n\d{8}', wnid) or wnid in wnids:
                raise self._error(
                    f'{path}, line {number}: should be a WordNet id of its '
                    f'own, "n" and 8 digits, but is {wnid!r}.'
                )
            wnids.append(wnid)
        if not wnids or (
            self.check_complete and (len(wnids) != self.num_classes)
        ):
            raise self._error(
                f'{path} should list {self.num_classes} '
                f'classes, but lists {len(wnids)}.'
            )
        return {wnid: label for label, wnid in enumerate(sorted(wnids))}

    def _read_names(
        self, path: Path, labels: dict[str, int]
    ) -> tuple[str, ...]:
        """Read the names of the classes from ``words.txt``."""
        names = {
            wnid: name
            for _, wnid, name in self._read_fields(path, 'wnid TAB names')
        }
        missing = [wnid for wnid in labels if wnid not in names]
        if missing:
            raise self._error(
                f'{path} should name all classes of wnids.txt, '
                f'but has no line for {shorten(missing)}.'
            )
        return tuple(names[wnid] for wnid in labels)

    def _list_packed(self, path: Path, num_classes: int) -> list[dict]:
        """List the images of ``<split>.npy``."""
        self.packed = PackedImages(path)
        if self.packed.img_shape != self.img_shape:
            raise self._error(
                f'{path} should have images of the shape {self.img_shape}, '
                f'but theirs is {self.packed.img_shape}.'
            )
        gt_labels = self.packed.gt_labels.tolist()
        if max(gt_labels, default=0) >= num_classes:
            raise self._error(
                f'{path} should have labels below {num_classes}, the number '
                f'of classes in wnids.txt, but one is {max(gt_labels)}.'
            )
        return [
            dict(img_index=index, gt_label=gt_label)
            for index, gt_label in enumerate(gt_labels)
        ]

    def _list_train(self, folder: Path, labels: dict[str, int]) -> list[dict]:
        """List the images of ``train``."""
        images = {
            wnid: self._list_images(folder / wnid / 'images')
            for wnid in labels
        }
        per_class = self.num_images['train'] // self.num_classes
        wrong = [
            f'{wnid} has {len(names)}'
            for wnid, names in images.items()
            if not names or (self.check_complete and len(names) != per_class)
        ]
        if wrong:
            raise self._error(
                f'{folder}/<wnid>/images should hold {per_class} .JPEG files '
                f'for each class of wnids.txt, but {shorten(wrong)}.'
            )
        unknown = [
            path.name
            for path in sorted(folder.iterdir())
            if path.is_dir() and path.name not in labels
        ]
        if unknown:
            raise self._error(
                f'{folder} should hold a folder for each class of wnids.txt, '
                f'but also holds {shorten(unknown)}.'
            )
        return [
            dict(
                img_path=os.path.join(folder, wnid, 'images', name),
                gt_label=label,
            )
            for wnid, label in labels.items()
            for name in images[wnid]
        ]

    def _list_val(self, folder: Path, labels: dict[str, int]) -> list[dict]:
        """List the images of ``val``."""
        annotations = folder / 'val_annotations.txt'
        images = self._list_images(folder / 'images')
        unnamed = set(images)
        data_list = []
        for number, name, rest in self._read_fields(
            annotations, 'file TAB wnid TAB box'
        ):
            wnid = rest.split('\t')[0]
            place = f'{annotations}, line {number}:'
            if wnid not in labels:
                raise self._error(
                    f'{place} the wnid should be one of '
                    f'wnids.txt, but is {wnid!r}.'
                )
            if name not in unnamed:
                raise self._error(
                    f'{place} the file should be one of {folder / "images"}, '
                    f'which holds {len(images):,} .JPEG files, and in no line '
                    f'before, but is {name!r}.'
                )
            unnamed.remove(name)
            data_list.append(
                dict(
                    img_path=os.path.join(folder, 'images', name),
                    gt_label=labels[wnid],
                )
            )
        if unnamed:
            raise self._error(
                f'{annotations} should name all files of {folder / "images"},'
                f' but has no line for {shorten(sorted(unnamed))}.'
            )
        return data_list

    def _list_images(self, folder: Path) -> list[str]:
        """List the JPEG files of a folder: none if it is missing."""
        if not folder.is_dir():
            return []
        return sorted(
            name for name in os.listdir(folder) if name.endswith('.JPEG')
        )

    def _read_fields(
        self, path: Path, rule: str
    ) -> Iterator[tuple[int, str, str]]:
        """Read lines of a file, parted at the first TAB."""
        for number, line in self._read_lines(path):
            first, tab, rest = line.partition('\t')
            if not tab:
                raise self._error(
                    f'{path}, line {number}: should be "{rule}"'
                    f', but is {line[:80]!r}.'
                )
            yield number, first, rest

    def _read_lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """Read the lines of a file with their numbers, from 1 on."""
        if not path.is_file():
            raise self._error(
                f'{path} should be a file, but is missing.', FileNotFoundError
            )
        # Bytes that are no text fail where the line is looked at.
        with open(path, encoding='utf-8', errors='replace') as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip('\n')

    def _error(
        self, message: str, kind: type[Exception] = ValueError
    ) -> Exception:
        """Make an error that tells where the data are to be had."""
        return kind(
            f'{message} Unpack {self.url} into an empty folder, or '
            'let tools/dataset_converters/tiny_imagenet.py do it.'
        )
