"""Convert a network that RepDistiller, SemCKD, SimKD or mdistiller saved."""

import argparse
import os
import os.path as osp
import shlex
import sys
from pathlib import Path

from mmengine.config import Config

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.kd_zoo.convert import convert_kd_zoo_checkpoint
from mmdskd.kd_zoo.networks import Network, find_config
from mmdskd.utils.arguments import add_force
from mmdskd.utils.checkpoint import CheckpointError
from mmdskd.utils.files import check_new_file, save_checkpoint_atomically
from mmdskd.utils.finite import log_nonfinite
from mmdskd.utils.text import describe_error

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'src',
        metavar='SRC',
        help='file of RepDistiller, SemCKD, SimKD or mdistiller: teacher or '
        'student',
    )
    parser.add_argument(
        'dst', metavar='DST', help='.pth file to write, for MMPretrain'
    )
    parser.add_argument(
        '--arch',
        metavar='NAME',
        help='network that SRC should be, such as wrn_40_2; by default it is '
        'found by the names and shapes of the tensors',
    )
    add_force(parser)
    return parser.parse_args()


def check_destination(src: str, dst: str, force: bool) -> None:
    """See that ``dst`` is a place for the converted file.

    Its folder may be missing: where training would leave the file, there may
    be no run yet.

    Args:
        src (str): The file to read.
        dst (str): The file to write.
        force (bool): Whether a file that is there may be replaced.

    Raises:
        OSError: If it can't be written.
        ValueError: If it is ``src`` itself.
    """
    if osp.realpath(dst) == osp.realpath(src):
        raise ValueError(f'DST should not be SRC itself, {src!r}.')
    path = osp.abspath(dst)
    while not osp.lexists(osp.dirname(path)):
        path = osp.dirname(path)
    check_new_file(path, force, 'DST')


def describe_use(network: Network, dst: str) -> str:
    """Tell how the converted file is used.

    Args:
        network (Network): The network in it.
        dst (str): The converted file.

    Returns:
        str: Lines that name the config, or show the model if no config has
        it, with the command that tests the file.
    """
    found = find_config(network, ROOT / 'configs/vanilla')
    if found is None:
        text = Config(dict(model=network.model)).pretty_text.rstrip()
        config = 'CONFIG'
        lines = [
            'No config in configs/vanilla has this network and number of '
            'classes. In a CONFIG of yours, it is',
            text,
        ]
    else:
        config = osp.relpath(found)
        lines = [f'config: {config}']
    test = osp.relpath(ROOT / 'tools' / 'test.py')
    return '\n'.join(
        [
            *lines,
            f'test: python {shlex.join([test, config, dst])}',
            f'teacher: teacher_ckpt={dst!r} in a config of kd or dskd',
        ]
    )


def convert(args: argparse.Namespace) -> None:
    """Convert as the arguments say.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    check_destination(args.src, args.dst, args.force)
    network, checkpoint, ignored = convert_kd_zoo_checkpoint(
        args.src, args.arch
    )
    log_nonfinite(args.src, checkpoint['state_dict'].items())
    os.makedirs(osp.dirname(args.dst) or '.', exist_ok=True)
    save_checkpoint_atomically(checkpoint, args.dst)
    print(
        f'{args.dst}: {network.name}, {network.num_classes} classes, '
        f'{network.num_params:,} parameters'
    )
    facts = checkpoint['meta']['converted_from']
    print('from: ' + ', '.join(f'{k} {v}' for k, v in facts.items()))
    if ignored:
        parts = [f'{part} ({n} tensors)' for part, n in ignored.items()]
        print(f'ignored: {", ".join(parts)}')
    print(describe_use(network, args.dst))


def main() -> None:
    args = parse_args()
    try:
        convert(args)
    except (CheckpointError, OSError, ValueError) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
