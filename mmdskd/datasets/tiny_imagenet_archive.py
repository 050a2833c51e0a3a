"""The archive of Tiny-ImageNet: download, check, unpack and pack it."""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from mmpretrain.datasets.utils import calculate_md5
from torch.hub import download_url_to_file

from .packed_images import PackedImages
from .tiny_imagenet import TinyImageNet

Progress = Callable[[list], Iterator]


def download(archive: Path) -> None:
    """Download the official archive.

    Args:
        archive (Path): The file to write.

    Raises:
        OSError: If the download fails.
    """
    try:
        download_url_to_file(TinyImageNet.url, str(archive))
    except OSError as error:
        raise OSError(
            f'{TinyImageNet.url} can not be downloaded: {error}. Fetch it '
            'on another machine, and name it by --zip.'
        ) from error


def check_archive(archive: Path) -> None:
    """See that an archive is the official one.

    Args:
        archive (Path): The archive.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If its MD5 is another one.
    """
    if not archive.is_file():
        raise FileNotFoundError(
            f'--zip should be a file, but there is no {str(archive)!r}.'
        )
    md5 = calculate_md5(str(archive))
    if md5 != TinyImageNet.zip_md5:
        raise ValueError(
            f'{archive} should be {TinyImageNet.url} with the MD5 '
            f'{TinyImageNet.zip_md5}, but its MD5 is {md5} '
            f'({archive.stat().st_size:,} bytes). The download may have been '
            'cut off: fetch it again.'
        )


def unpack(archive: Path, root: Path) -> None:
    """Unpack the archive. An interruption leaves no half folder.

    Args:
        archive (Path): The archive, checked.
        root (Path): The folder to make, of the name in the archive.
    """
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        os.rename(Path(folder, root.name), root)


def pack(
    root: Path, dataset: TinyImageNet, progress: Progress = iter
) -> TinyImageNet:
    """Pack the images of a split into one file.

    Args:
        root (Path): The folder with the data.
        dataset (TinyImageNet): The split, not serialized.
        progress (Callable): Goes over the images, and may show how far it
            is. Defaults to ``iter``.

    Returns:
        TinyImageNet: The split, read from that file.
    """
    PackedImages.write(
        root / f'{dataset.split}.npy',
        map(dataset.load_image, progress(dataset.data_list)),
        dataset.get_gt_labels(),
        dataset.img_shape[:2],
    )
    return TinyImageNet(str(root), dataset.split)
