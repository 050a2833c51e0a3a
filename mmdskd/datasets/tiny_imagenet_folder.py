"""Read the folder of Tiny-ImageNet, as its archive unpacks."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Union

from mmdskd.utils.text import shorten

URL = 'http://cs231n.stanford.edu/tiny-imagenet-200.zip'
BASE_FOLDER = 'tiny-imagenet-200'


class TinyImageNetFolder:
    """The classes and images that the folder of Tiny-ImageNet lists.

    Args:
        data_root (str or Path): The folder, or the one that it is in.
        num_classes (int): Number of classes in the archive.
        images_per_class (int): Number of images of each class to train on in
            the archive.
        check_complete (bool): Whether there have to be as many classes and
            images as that. Defaults to True.

    Attributes:
        path (Path): The folder.
        labels (dict[str, int]): The label of each wnid, from 0 on.

    Raises:
        FileNotFoundError: If the folder or ``wnids.txt`` is missing.
        ValueError: If ``wnids.txt`` does not list the classes.
    """

    def __init__(
        self,
        data_root: Union[str, Path],
        num_classes: int,
        images_per_class: int,
        check_complete: bool = True,
    ) -> None:
        self.num_classes = num_classes
        self.images_per_class = images_per_class
        self.check_complete = check_complete
        self.path = find_folder(data_root)
        self.labels = self._read_labels()

    def _read_labels(self) -> dict[str, int]:
        """Read the label of each wnid from ``wnids.txt``."""
        path = self.path / 'wnids.txt'
        wnids: list[str] = []
        for number, wnid in _read_lines(path):
            if not re.fullmatch(r'n\d{8}', wnid) or wnid in wnids:
                raise make_error(
                    f'{path}, line {number}: should be a WordNet id of its '
                    f'own, "n" and 8 digits, but is {wnid!r}.'
                )
            wnids.append(wnid)
        if not wnids or (
            self.check_complete and len(wnids) != self.num_classes
        ):
            raise make_error(
                f'{path} should list {self.num_classes} '
                f'classes, but lists {len(wnids)}.'
            )
        return {wnid: label for label, wnid in enumerate(sorted(wnids))}

    def read_class_names(self) -> tuple[str, ...]:
        """Read the names of the classes from ``words.txt``.

        Returns:
            tuple[str]: One per class, in the order of labels.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If it does not name all classes.
        """
        path = self.path / 'words.txt'
        names = {
            wnid: name
            for _, wnid, name in _read_fields(path, 'wnid TAB names')
        }
        missing = [wnid for wnid in self.labels if wnid not in names]
        if missing:
            raise make_error(
                f'{path} should name all classes of wnids.txt, '
                f'but has no line for {shorten(missing)}.'
            )
        return tuple(names[wnid] for wnid in self.labels)

    def list_train(self) -> list[dict]:
        """List the images of ``train``.

        Returns:
            list[dict]: ``img_path`` and ``gt_label`` of each image, sorted by
            label and file name.

        Raises:
            ValueError: If a class has not its images, or is unknown.
        """
        folder = self.path / 'train'
        images = {
            wnid: _list_jpegs(folder / wnid / 'images') for wnid in self.labels
        }
        wrong = [
            f'{wnid} has {len(names)}'
            for wnid, names in images.items()
            if not names
            or (self.check_complete and len(names) != self.images_per_class)
        ]
        if wrong:
            raise make_error(
                f'{folder}/<wnid>/images should hold {self.images_per_class} '
                '.JPEG files for each class of wnids.txt, but '
                f'{shorten(wrong)}.'
            )
        unknown = [
            path.name
            for path in sorted(folder.iterdir())
            if path.is_dir() and path.name not in self.labels
        ]
        if unknown:
            raise make_error(
                f'{folder} should hold a folder for each class of wnids.txt, '
                f'but also holds {shorten(unknown)}.'
            )
        return [
            dict(
                img_path=os.path.join(folder, wnid, 'images', name),
                gt_label=label,
            )
            for wnid, label in self.labels.items()
            for name in images[wnid]
        ]

    def list_val(self) -> list[dict]:
        """List the images of ``val``.

        Returns:
            list[dict]: ``img_path`` and ``gt_label`` of each image, in the
            order of the annotations.

        Raises:
            FileNotFoundError: If the annotations are missing.
            ValueError: If they are not of these images and classes.
        """
        folder = self.path / 'val' / 'images'
        annotations = self.path / 'val' / 'val_annotations.txt'
        images = _list_jpegs(folder)
        unnamed = set(images)
        data_list = []
        for number, name, rest in _read_fields(
            annotations, 'file TAB wnid TAB box'
        ):
            wnid = rest.split('\t')[0]
            place = f'{annotations}, line {number}:'
            if wnid not in self.labels:
                raise make_error(
                    f'{place} the wnid should be one of '
                    f'wnids.txt, but is {wnid!r}.'
                )
            if name not in unnamed:
                raise make_error(
                    f'{place} the file should be one of {folder}, '
                    f'which holds {len(images):,} .JPEG files, and in no line '
                    f'before, but is {name!r}.'
                )
            unnamed.remove(name)
            data_list.append(
                dict(
                    img_path=os.path.join(folder, name),
                    gt_label=self.labels[wnid],
                )
            )
        if unnamed:
            raise make_error(
                f'{annotations} should name all files of {folder},'
                f' but has no line for {shorten(sorted(unnamed))}.'
            )
        return data_list


def find_folder(data_root: Union[str, Path]) -> Path:
    """Find the folder: ``data_root``, or one in it.

    Args:
        data_root (str or Path): Where to look.

    Returns:
        Path: The folder with ``wnids.txt``.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    given = Path(data_root).expanduser()
    for root in (given, given / BASE_FOLDER):
        if (root / 'wnids.txt').is_file():
            return root
    found = 'does not exist'
    if given.is_dir():
        found = f'holds {shorten(sorted(os.listdir(given)))}'
    raise make_error(
        f'data_root should be the folder "{BASE_FOLDER}" with '
        'wnids.txt, words.txt, train and val, or the folder that it is '
        f'in, but "{given}" {found} (looked from {os.getcwd()}).',
        FileNotFoundError,
    )


def make_error(message: str, kind: type[Exception] = ValueError) -> Exception:
    """Make an error that says where to get the data.

    Args:
        message (str): What is wrong.
        kind (type): Type of the error. Defaults to ValueError.

    Returns:
        Exception: The error.
    """
    return kind(
        f'{message} Unpack {URL} into an empty folder, or '
        'let tools/dataset_converters/tiny_imagenet.py do it.'
    )


def _list_jpegs(folder: Path) -> list[str]:
    """List the JPEG files of a folder: none if it is missing."""
    if not folder.is_dir():
        return []
    return sorted(
        name for name in os.listdir(folder) if name.endswith('.JPEG')
    )


def _read_fields(path: Path, rule: str) -> Iterator[tuple[int, str, str]]:
    """Read lines of a file, parted at the first TAB."""
    for number, line in _read_lines(path):
        first, tab, rest = line.partition('\t')
        if not tab:
            raise make_error(
                f'{path}, line {number}: should be "{rule}"'
                f', but is {line[:80]!r}.'
            )
        yield number, first, rest


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a file with their numbers, from 1 on."""
    if not path.is_file():
        raise make_error(
            f'{path} should be a file, but is missing.', FileNotFoundError
        )
    # Bytes that are no text fail where the line is looked at.
    with open(path, encoding='utf-8', errors='replace') as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip('\n')
