"""Tiny-ImageNet, from its folder or from packed images."""

from pathlib import Path
from typing import Any, ClassVar, Optional

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmpretrain.datasets import BaseDataset

from mmdskd.registry import DATASETS
from mmdskd.utils.rules import FLAG, Choice
from mmdskd.utils.values import check_value

from .packed_images import PackedImages
from .tiny_imagenet_folder import (
    BASE_FOLDER,
    URL,
    TinyImageNetFolder,
    make_error,
)

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

    url = URL
    # Published by other loaders of these data, for example Avalanche's.
    zip_md5 = '90528d7ca1a48142e341f4ef8d21d0de'
    base_folder = BASE_FOLDER
    img_shape = (64, 64, 3)
    num_classes = 200
    num_images = {'train': 100000, 'val': 10000}

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        split=Choice(tuple(num_images)), check_complete=FLAG
    )

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
        check_value('check_complete', check_complete, FLAG)
        self.check_complete = check_complete
        self.packed: Optional[PackedImages] = None
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
        folder = TinyImageNetFolder(
            self.data_root,
            self.num_classes,
            self.num_images['train'] // self.num_classes,
            self.check_complete,
        )
        self._metainfo.setdefault('classes', folder.read_class_names())
        source = folder.path / f'{self.split}.npy'
        if source.is_file():
            data_list = self._list_packed(source, len(folder.labels))
        else:
            source = folder.path / self.split
            list_images = dict(train=folder.list_train, val=folder.list_val)
            data_list = list_images[self.split]()
        expected = self.num_images[self.split]
        if not data_list or (
            self.check_complete and (len(data_list) != expected)
        ):
            raise make_error(
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
            raise make_error(
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
            raise make_error(
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

    def _list_packed(self, path: Path, num_classes: int) -> list[dict]:
        """List the images of ``<split>.npy``."""
        self.packed = packed = PackedImages(path)
        if packed.img_shape != self.img_shape:
            raise make_error(
                f'{path} should have images of the shape {self.img_shape}, '
                f'but theirs is {packed.img_shape}.'
            )
        gt_labels = packed.gt_labels.tolist()
        if max(gt_labels, default=0) >= num_classes:
            raise make_error(
                f'{path} should have labels below {num_classes}, the number '
                f'of classes in wnids.txt, but one is {max(gt_labels)}.'
            )
        return [
            dict(img_index=index, gt_label=gt_label)
            for index, gt_label in enumerate(gt_labels)
        ]
