"""Put Tiny-ImageNet in place: download, check, unpack and pack it.

Each step is left out if its result is there already. Packed, the images of a
split are one file, which training reads faster than 110,000 small ones.
"""

import argparse
import socket
import sys
from pathlib import Path

from mmengine.utils import track_iter_progress

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.datasets import TinyImageNet
from mmdskd.datasets.tiny_imagenet_archive import (
    check_archive,
    download,
    pack,
    unpack,
)
from mmdskd.utils.text import describe_error


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


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Raises:
        ValueError: If ``--zip`` is given, but unpacked already.
    """
    root = args.data_dir / TinyImageNet.base_folder
    for folder in (args.data_dir, root):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(
                f'data_dir should be a folder, but {folder} is a file.'
            )
    if not root.exists():
        args.data_dir.mkdir(parents=True, exist_ok=True)
        archive = args.zip
        if archive is None:
            archive = args.data_dir / f'{root.name}.zip'
            if not archive.is_file():
                print(f'Downloading {TinyImageNet.url} to {archive}')
                download(archive)
        check_archive(archive)
        print(f'Unpacking {archive} to {root}')
        unpack(archive, root)
    elif args.zip is not None:
        raise ValueError(
            f'--zip should be unpacked to {root}, but that is '
            'there. Leave out --zip, or delete the folder.'
        )
    for split in TinyImageNet.num_images:
        dataset = TinyImageNet(str(root), split, serialize_data=False)
        if dataset.packed is None and not args.no_pack:
            print(f'Packing {len(dataset):,} images to {root}/{split}.npy')
            dataset = pack(root, dataset, track_iter_progress)
            print()
        source = dataset.packed.path if dataset.packed else root / split
        print(
            f'{split}: {len(dataset):,} images of '
            f'{len(dataset.CLASSES)} classes in {source}'
        )


def main() -> None:
    # Otherwise a server that does not answer is waited for without end.
    socket.setdefaulttimeout(60)
    args = parse_args()
    try:
        convert(args)
    except (OSError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
