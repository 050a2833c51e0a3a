"""Compare the speed of exported students with that in PyTorch, on the CPU.

Each student is built from its config with random weights, exported to ONNX
and TorchScript, and compared with PyTorch. Then the three take turns in one
process, so that whatever slows the machine slows all of them. Tables are in
Markdown.

    benchmark_export.py CONFIG [CONFIG ...] --image 3,224,224
"""

import argparse
import os.path as osp
import sys
import tempfile
from pathlib import Path
from typing import Callable

import torch

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.measure import (
    describe_machine,
    format_speeds,
    measure_speeds,
)
from mmdskd.export.deployable import DeployableStudent
from mmdskd.export.deployment import export_student
from mmdskd.export.export_settings import Settings, check_settings
from mmdskd.export.exporters import ExportError, Run
from mmdskd.export.load_student import Student, make_student
from mmdskd.export.onnx_file import open_onnx
from mmdskd.export.torchscript_file import open_torchscript
from mmdskd.utils.arguments import parse_shape, whole_number
from mmdskd.utils.config import load_config
from mmdskd.utils.text import describe_error

EAGER = 'PyTorch'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'configs', nargs='+', help='config of a run, or package::path'
    )
    parser.add_argument(
        '--image',
        type=parse_shape,
        default=(3, 224, 224),
        metavar='C,H,W',
        help='shape of the random images (default: 3,224,224)',
    )
    for name, default, what in (
        ('--batch-size', 1, 'images in a batch'),
        ('--calls', 10, 'batches in a turn'),
        ('--threads', 1, 'threads that compute'),
    ):
        parser.add_argument(
            name,
            type=whole_number(1),
            default=default,
            help=f'number of {what} (default: %(default)s)',
        )
    parser.add_argument(
        '--turns',
        type=whole_number(2),
        default=50,
        help='turns of each, at least 2 (default: %(default)s)',
    )
    return parser.parse_args()


def open_runs(student: Student, shape: tuple[int, ...]) -> tuple[dict, str]:
    """Export a student, and open what came out.

    Args:
        student (Student): The student.
        shape (tuple[int, ...]): Channels, height and width of an image.

    Returns:
        tuple[dict[str, Run], str]: The functions by their names, PyTorch
        first, and how far the others differ from it.
    """
    settings = Settings(shape=shape, num_images=16)
    module = DeployableStudent(student.network, settings.graph)
    runs: dict[str, Run] = {EAGER: lambda images: [module(images)]}
    differences = []
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        for name, suffix in (('ONNX Runtime', 'onnx'), ('TorchScript', 'pt')):
            path = osp.join(folder, f'student.{suffix}')
            found = export_student(student, path, settings)
            runs[name] = (
                open_onnx(path, threads)
                if suffix == 'onnx'
                else open_torchscript(path)
            )
            differences.append(
                f'{name} ({found.how}): {found.comparison.relative:.1e}'
                if found.comparison
                else name
            )
    return runs, '; '.join(differences)


def repeat(run: Run, images: torch.Tensor, calls: int) -> Callable[[], int]:
    """Make a turn: some calls on the same batch.

    Args:
        run (Run): The function.
        images (Tensor): The batch.
        calls (int): How often it is called.

    Returns:
        Callable: The turn, which returns the number of images.
    """

    def turn() -> int:
        with torch.inference_mode():
            for _ in range(calls):
                run(images)
        return calls * len(images)

    return turn


def benchmark(args: argparse.Namespace) -> None:
    """Measure as the arguments say, and print what comes out.

    Args:
        args (Namespace): Values of :func:`parse_args`.
    """
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        check_settings(osp.join(folder, 'student.onnx'), Settings())
    images = torch.rand(args.batch_size, *args.image) * 255
    print(
        f'{args.turns} turns of {args.calls} batches of {args.batch_size}, '
        f'images of {args.image}, {args.threads} thread(s), median '
        f'[quartiles]. {describe_machine()}, torch {torch.__version__}'
    )
    for config in args.configs:
        student = make_student(load_config(config))
        runs, differences = open_runs(student, args.image)
        times = measure_speeds(
            {
                name: repeat(run, images, args.calls)
                for name, run in runs.items()
            },
            args.turns,
            'cpu',
        )
        print(f'\n{Path(config).stem}\n\n{format_speeds(times, EAGER)}')
        print(f'\nlargest difference, of the largest logit: {differences}')


def main() -> None:
    try:
        benchmark(parse_args())
    except (
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
