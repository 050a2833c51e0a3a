"""Put Tiny-ImageNet in place: download, check, unpack and pack it.

Each step is left out if its result is there already. Packed, the images of a
split are one file, which training reads faster than 110,000 small ones.
"""

import argparse
import os
import socket
import sys
import tempfile
import zipfile
from pathlib import Path

from mmengine.utils import track_iter_progress
from mmpretrain.datasets.utils import calculate_md5
from torch.hub import download_url_to_file

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.datasets import TinyImageNet
from mmdskd.datasets.packed_images import PackedImages


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'data_dir',
        nargs='?',
        default='data',
        type=Path,
        help=f'folder for the folder {TinyImageNet.base_folder}, by default '
        '"data"',
    )
    parser.add_argument(
        '--zip',
        type=Path,
        help='archive that you have; by default '
        f'{TinyImageNet.base_folder}.zip in the data_dir, which is '
        f'downloaded from {TinyImageNet.url} if it is not there',
    )
    parser.add_argument(
        '--no-pack',
        action='store_true',
        help='do not write train.npy and val.npy, 1.4 GB',
    )
    return parser.parse_args()


def download(archive: Path) -> None:
    """Download the archive, unless it is there.

    Args:
        archive (Path): Where it goes.

    Raises:
        OSError: If that fails.
    """
    if archive.is_file():
        return
    print(f'Downloading {TinyImageNet.url} to {archive}')
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
        ValueError: If it is another file.
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
    """Unpack the archive. If that is interrupted, no half folder is left.

    Args:
        archive (Path): The archive, checked.
        root (Path): Its folder, to be.
    """
    print(f'Unpacking {archive} to {root}')
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        os.rename(Path(folder, root.name), root)


def check_and_pack(root: Path, split: str, pack: bool) -> None:
    """Check a split, and pack its images unless they are.

    Args:
        root (Path): The folder with the data.
        split (str): "train" or "val".
        pack (bool): Whether to pack it.
    """
    dataset = TinyImageNet(str(root), split, serialize_data=False)
    path = root / f'{split}.npy'
    if pack and dataset.packed is None:
        print(f'Packing {len(dataset):,} images to {path}')
        PackedImages.write(
            path,
            map(dataset.load_image, track_iter_progress(dataset.data_list)),
            dataset.get_gt_labels(),
            dataset.img_shape[:2],
        )
        dataset = TinyImageNet(str(root), split)
        print()
    source = dataset.packed.path if dataset.packed else root / split
    print(
        f'{split}: {len(dataset):,} images of '
        f'{len(dataset.CLASSES)} classes in {source}'
    )


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Raises:
        ValueError: If ``--zip`` is given, but unpacked already.
    """
    root = args.data_dir / TinyImageNet.base_folder
    if not root.exists():
        args.data_dir.mkdir(parents=True, exist_ok=True)
        archive = args.zip
        if archive is None:
            archive = args.data_dir / f'{root.name}.zip'
            download(archive)
        check_archive(archive)
        unpack(archive, root)
    elif args.zip is not None:
        raise ValueError(
            f'--zip should be unpacked to {root}, but that is '
            'there. Leave out --zip, or delete the folder.'
        )
    for split in TinyImageNet.num_images:
        check_and_pack(root, split, not args.no_pack)


def main() -> None:
    # Otherwise a server that does not answer is waited for without end.
    socket.setdefaulttimeout(60)
    args = parse_args()
    try:
        convert(args)
    except (OSError, ValueError) as error:
        sys.exit(f'{type(error).__name__}: {error}')


if __name__ == '__main__':
    main()
