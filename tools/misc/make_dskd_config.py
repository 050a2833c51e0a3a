"""Write a DSKD config for any student and teacher.

Both are built without weights and run once, which shows where the branches
attach. The config is tried for two iterations on random images, and written
if it trains.
"""

import argparse
import logging
import sys
from typing import Union

from mmengine.logging import MMLogger

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.pairing.dry_run import try_config
from mmdskd.pairing.dskd_config import PARTS, DSKDConfig
from mmdskd.pairing.source_config import load_source_config
from mmdskd.pairing.teacher_images import FROM_DATA
from mmdskd.utils.arguments import add_force, parse_shape
from mmdskd.utils.files import check_new_file, write_atomically
from mmdskd.utils.progress import Progress
from mmdskd.utils.text import describe_error, message_of

ERRORS = (KeyError, OSError, RuntimeError, ValueError)
TRIAL = 'training on random images'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = (
        'config file, package::path of one that a package ships, or name '
        'of a model of MMPretrain, such as resnet18_8xb32_in1k'
    )
    parser.add_argument('student', help=what)
    parser.add_argument('teacher', help='the same of the teacher')
    parser.add_argument(
        '--branches',
        type=parse_branches,
        metavar='auto|N|NAME,NAME',
        help='number of branches, or names of modules of the student '
        '(default: auto, the ends of its stages, three at most)',
    )
    parser.add_argument(
        '--teacher-ckpt',
        metavar='FILE',
        help='checkpoint of the teacher (default: the published one, if the '
        'teacher is of MMPretrain, or where tools/train.py leaves it)',
    )
    parser.add_argument(
        '--dataset-from',
        choices=['student', 'teacher'],
        help='whose data, schedule and hooks are taken (default: student)',
    )
    parser.add_argument(
        '--shape',
        metavar='C,H,W',
        type=parse_shape,
        help='shape of an image (default: as the data config tells)',
    )
    parser.add_argument(
        '--teacher-feature',
        metavar='NAME',
        help='module of the teacher whose output supervises the branches '
        '(default: its last feature before pooling)',
    )
    parser.add_argument(
        '--teacher-input-size',
        metavar='N|H,W|data',
        type=parse_input_size,
        help='size to which the images are resized for the teacher, or '
        '"data" for that of the student (default: that of its own '
        'evaluation)',
    )
    for role in ('student', 'teacher'):
        parser.add_argument(
            f'--{role}-logits',
            metavar='NAME',
            help=f'module of the {role} that returns its logits',
        )
    parser.add_argument(
        '-o',
        '--output',
        metavar='FILE',
        help='file to write (default: dskd_TEACHER_STUDENT.py)',
    )
    add_force(parser)
    return parser.parse_args()


def parse_branches(text: str) -> Union[int, list[str], None]:
    """Read ``auto``, a number, or names with commas between them.

    Args:
        text (str): The text.

    Returns:
        int or list[str], optional: What it says; None for "auto".
    """
    if text == 'auto':
        return None
    try:
        return int(text)
    except ValueError:
        return [name.strip() for name in text.split(',')]


def parse_input_size(text: str) -> Union[int, tuple[int, int], str]:
    """Read ``data``, an edge, or height and width with a comma between them.

    Args:
        text (str): The text.

    Returns:
        int, tuple[int, int] or str: What it says.

    Raises:
        ArgumentTypeError: If it is none of these.
    """
    if text == FROM_DATA:
        return text
    parts = text.split(',')
    if len(parts) > 2 or not all(p.isdigit() and int(p) for p in parts):
        raise argparse.ArgumentTypeError(
            'should be a number of pixels > 0, height and width as H,W, or '
            f'{FROM_DATA}, but got {text!r}'
        )
    if len(parts) == 1:
        return int(text)
    return int(parts[0]), int(parts[1])


def make(args: argparse.Namespace, progress: Progress) -> None:
    """Make, try and write the config.

    Args:
        args (Namespace): Values of :func:`parse_args`.
        progress (Progress): Shows how far it is.
    """
    if args.output is not None:
        if not args.output.endswith('.py'):
            raise ValueError(
                f'-o should be a config, *.py, but got {args.output!r}'
            )
        check_new_file(args.output, args.force)
    student, teacher = map(load_source_config, (args.student, args.teacher))
    output = args.output or f'dskd_{teacher.name}_{student.name}.py'
    check_new_file(output, args.force)
    made = DSKDConfig(
        student,
        teacher,
        branches=args.branches,
        teacher_ckpt=args.teacher_ckpt,
        dataset_from=args.dataset_from,
        image_shape=args.shape,
        teacher_feature=args.teacher_feature,
        student_logits=args.student_logits,
        teacher_logits=args.teacher_logits,
        teacher_input_size=args.teacher_input_size,
        begin=progress.begin,
    )
    progress.begin(TRIAL)
    progress.clear()
    print(f'{made.table}\n', flush=True)
    try:
        losses, note = try_config(
            made.load(), made.image_shape, made.plan.student.num_classes
        )
    # Whatever it is that hooks and networks of the user raise.
    except Exception as error:
        reason = (
            message_of(error)
            if isinstance(error, ERRORS)
            else describe_error(error)
        )
        raise RuntimeError(
            f'{output} is not written, as the config does not train: '
            f'{reason}. Choose other --branches or another '
            '--teacher-feature, or change optim_wrapper and data in '
            f'{made.data.path}'
        ) from error
    text = made.to_text(output)
    progress.clear()
    write_atomically(output, lambda file: file.write(text.encode()))
    values = ', '.join(f'{each["loss"]:.3f}' for each in losses)
    print(
        f'{len(losses)} iterations on random images, with a teacher of '
        f'random weights: losses {values}, and a gradient in each parameter '
        'of the heads'
    )
    for warning in [*made.warnings, *([note] if note else [])]:
        print(f'Note: {warning}')
    print(f'Wrote {output}. Train it by\n  python tools/train.py {output}')


def main() -> None:
    args = parse_args()
    # MMPretrain logs how it builds a network.
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    parts = {**PARTS, TRIAL: 45}
    try:
        with Progress('make_dskd_config.py', parts) as progress:
            make(args, progress)
    except ERRORS as error:
        sys.exit(f'make_dskd_config.py: {message_of(error)}')


if __name__ == '__main__':
    main()
