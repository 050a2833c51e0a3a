"""The handwritten digits of scikit-learn."""

from typing import Any, ClassVar

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdskd.registry import DATASETS
from mmdskd.utils.rules import Choice


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 real handwritten digits, shipped with scikit-learn: no download.

    The images are the test set of E. Alpaydin and C. Kaynak, `Optical
    Recognition of Handwritten Digits
    <https://doi.org/10.24432/C50P49>`_, UCI, 1998: bitmaps of 32x32 pixels
    counted in blocks of 4x4, so 8x8 pixels of 0 to 16. They are given as
    uint8 of shape (8, 8), as MMPretrain's MNIST gives its own, with 0..16
    mapped onto 0..255. Being in memory, they need no loading transform.

    The splits are by position. The writers come one after the other: as the
    labels show, the same text of about 130 digits is written out again from
    positions 0, 130, 256, 386, 516, 646, 776, 905 and so on. So but for the
    seven images before 905, a test image is from another text than all
    training images, and the tuning splits share no text at all.

    ============ ============ ======= ====================================
    split        positions    images  for
    ============ ============ ======= ====================================
    train        0 to 897     898     training
    test         898 to 1796  899     the reported accuracy
    tune_train   0 to 645     646     training, while settings are chosen
    tune_val     646 to 897   252     choosing settings
    ============ ============ ======= ====================================

    ``train`` and ``test`` are the halves of scikit-learn's own example
    (``train_test_split(..., test_size=0.5, shuffle=False)``). The two tuning
    splits part ``train``, so that settings can be chosen without a look at
    ``test``.

    Args:
        split (str): One of "train", "test", "tune_train" and "tune_val".
            Defaults to "train".
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``, ``test_mode`` and ``indices``.

    Raises:
        ValueError: If ``split`` is none of the above.
        ImportError: If scikit-learn is not installed.

    Examples:
        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     dataset=dict(
        ...         type='mmdskd.Digits',
        ...         split='train',
        ...         pipeline=[
        ...             dict(type='Resize', scale=16),
        ...             dict(type='PackInputs'),
        ...         ]),
        ...     sampler=dict(type='DefaultSampler', shuffle=True))

        It is a data set of PyTorch, too:

        >>> from mmdskd.datasets import Digits
        >>> digits = Digits(split='test')
        >>> len(digits), digits[0]['img'].shape, digits[0]['gt_label']
        (899, (8, 8), 8)
    """

    METAINFO = {'classes': tuple('0123456789')}
    SPLITS = {
        'train': slice(0, 898),
        'test': slice(898, 1797),
        'tune_train': slice(0, 646),
        'tune_val': slice(646, 898),
    }

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(split=Choice(tuple(SPLITS)))

    def __init__(self, split: str = 'train', **kwargs: Any) -> None:
        if split not in self.SPLITS:
            raise ValueError(
                f'split should be one of {list(self.SPLITS)}, '
                f'but got {split!r}.'
            )
        self.split = split
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the images and labels of the split.

        Returns:
            list[dict]: For each image ``img``, uint8 of shape (8, 8), and
            ``gt_label``, the digit.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError(
                'mmdskd.Digits reads the images that scikit-learn ships, but '
                'scikit-learn is not installed. Run "pip install '
                'scikit-learn".'
            ) from error
        digits = load_digits()
        span = self.SPLITS[self.split]
        imgs = np.rint(digits.images[span] * (255 / 16)).astype(np.uint8)
        return [
            dict(img=img, gt_label=int(label))
            for img, label in zip(imgs, digits.target[span])
        ]

    def extra_repr(self) -> list[str]:
        """Describe the split in the dataset's ``repr``.

        Returns:
            list[str]: One line.
        """
        return [f'Split: \t{self.split}']
