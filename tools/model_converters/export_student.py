"""Export the student of a finished run to ONNX or TorchScript.

The file is run on real images of the run, and kept only if it gives what the
student gives in PyTorch. docs/deployment.md shows the whole way.

    export_student.py work_dirs/my_run -o student.onnx
    export_student.py CONFIG CHECKPOINT -o student.pt
"""

import argparse
import sys
from typing import Union

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.export.colors import ORDERS
from mmdskd.export.deployable import ALL, NORMALIZE, OUTPUTS, Graph
from mmdskd.export.deployment import Export, export_student, give_all_exits
from mmdskd.export.export_settings import (
    FORMATS,
    NUM_IMAGES,
    Settings,
    check_settings,
)
from mmdskd.export.exporters import ExportError
from mmdskd.export.finished_run import find_run_files
from mmdskd.export.load_student import load_student
from mmdskd.pairing.auto import resolve_auto
from mmdskd.utils.arguments import add_force, parse_shape, whole_number
from mmdskd.utils.checkpoint import CheckpointError
from mmdskd.utils.config import load_config
from mmdskd.utils.text import describe_error

DYNAMIC = 'dynamic'


def batch_size(text: str) -> Union[int, str]:
    """Read ``--batch``."""
    if text == DYNAMIC:
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'should be "{DYNAMIC}" or a whole number >= 1, but got {text!r}'
        )
    return int(text)


def exit_index(text: str) -> Union[int, str]:
    """Read ``--exit``."""
    if text == ALL:
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f'should be "{ALL}" or the index of an exit, but got {text!r}'
        )
    return int(text)


def tolerance(text: str) -> float:
    """Read ``--tolerance``."""
    try:
        number = float(text)
    except ValueError:
        number = float('nan')
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(
            f'should be a share of the largest output in [0, 1], but got '
            f'{text!r}'
        )
    return number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'run', help='work_dir of a run, or the config of a run or a student'
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint of the run or of its student; by default the best '
        'one of the work_dir, else the last one',
    )
    parser.add_argument(
        '-o',
        '--out',
        required=True,
        metavar='FILE',
        help=f'file to write: {", ".join(FORMATS)}',
    )
    parser.add_argument(
        '--format',
        choices=sorted(set(FORMATS.values())),
        help='format of the file (default: that of its suffix)',
    )
    parser.add_argument(
        '--batch',
        type=batch_size,
        default=DYNAMIC,
        metavar='N',
        help='size of the batch (default: %(default)s, for any)',
    )
    parser.add_argument(
        '--normalize',
        choices=NORMALIZE,
        default=NORMALIZE[0],
        help='inside: the file takes pixels of 0 to 255; outside: it takes '
        'what the data preprocessor makes of them (default: %(default)s)',
    )
    parser.add_argument(
        '--colors',
        choices=ORDERS,
        help='order of the colours that the file takes, with the '
        'normalisation inside (default: that of the images of the run)',
    )
    parser.add_argument(
        '--output',
        choices=OUTPUTS,
        default=OUTPUTS[0],
        help='scores are the softmax of the logits, or the sigmoid where an '
        'image has several labels (default: %(default)s)',
    )
    exits = parser.add_argument_group('multi-exit students')
    exits.add_argument(
        '--exit',
        type=exit_index,
        metavar='K',
        help='the student up to exit K alone, counted from 0, or "all" for '
        'one file that gives all exits; for the config of a DSKD run, or '
        'multi_exit_config.py, which gives all by default',
    )
    exits.add_argument(
        '--loss', help='DSKD loss whose heads are the exits, if several'
    )
    check = parser.add_argument_group('comparison with the student')
    check.add_argument(
        '--tolerance',
        type=tolerance,
        default=Settings().tolerance,
        help='largest difference that is allowed, as a share of the largest '
        'output (default: %(default)s)',
    )
    check.add_argument(
        '--images',
        type=whole_number(1),
        default=NUM_IMAGES,
        metavar='N',
        help='number of images of the run (default: %(default)s)',
    )
    check.add_argument(
        '--random',
        type=parse_shape,
        metavar='C,H,W',
        help='random images of this shape, where the data are not here',
    )
    check.add_argument(
        '--no-check',
        action='store_true',
        help='write the file without running it',
    )
    parser.add_argument(
        '--opset',
        type=whole_number(1),
        help="version of the operators of ONNX (default: the exporter's own)",
    )
    add_force(parser)
    return parser.parse_args()


def make_settings(args: argparse.Namespace) -> Settings:
    """Make the settings that the arguments name.

    Args:
        args (Namespace): Values of :func:`parse_args`.

    Returns:
        Settings: The settings.
    """
    return Settings(
        graph=Graph(args.normalize, args.output, args.exit),
        batch=None if args.batch == DYNAMIC else args.batch,
        colors=args.colors,
        opset=args.opset,
        tolerance=args.tolerance,
        check=not args.no_check,
        num_images=args.images,
        shape=args.random,
        format=args.format,
    )


def export(args: argparse.Namespace) -> None:
    """Export as the arguments say, and print what came out.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    settings = make_settings(args)
    check_settings(args.out, settings, args.force)
    exits = args.exit is not None
    files = find_run_files(args.run, args.checkpoint, exits)
    cfg = load_config(files.config)
    if exits:
        resolve_auto(cfg)
    student = load_student(cfg, files.checkpoint, exits, args.loss)
    settings = give_all_exits(student, settings)
    report(export_student(student, args.out, settings), files, settings)


def report(found: Export, files: tuple[str, str], settings: Settings) -> None:
    """Print what was exported."""
    for note in found.notes:
        print(f'note: {note}')
    print(f'{found.path}: {files[1]}, by {files[0]}')
    print(f'{found.how}')
    inputs, *outputs = found.shapes.items()
    if 'range' in found.metadata:
        values = 'pixels of 0 to 255'
    elif settings.graph.normalize == 'inside':
        values = 'as the test pipeline gives them, which are no pixels'
    else:
        values = 'as the data preprocessor gives them'
    colors = found.metadata['colors']
    print(f'input:  {describe(*inputs)}, float32, {values}, colours: {colors}')
    for output in outputs:
        print(f'output: {describe(*output)}')
    what = 'random images' if settings.shape else 'images of the run'
    if found.comparison is None:
        print('NOT COMPARED with the student: --no-check was given')
    else:
        print(f'compared with the student on {what}: {found.comparison}')


def describe(name: str, shape: list) -> str:
    """Write name and shape, such as "logits (batch, 10)"."""
    return f'{name} ({", ".join(map(str, shape))})'


def main() -> None:
    args = parse_args()
    try:
        export(args)
    except (
        CheckpointError,
        ExportError,
        ImportError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
    ) as error:
        sys.exit(describe_error(error))


if __name__ == '__main__':
    main()
