"""Tell where the branches of DSKD configs attach, and what their heads cost.

Prints a table in Markdown. The cost is that of training only: the heads are
not in the exported student.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.analysis.flops import count_flops
from mmdskd.cli import parse_shape
from mmdskd.models import DSKDLoss
from mmdskd.utils import resolve_auto
from mmdskd.utils.config import load_config
from mmdskd.utils.text import format_header, format_row

HEADER = (
    'config',
    'branches',
    "teacher's feature",
    'head parameters',
    'head FLOPs',
    "of the student's FLOPs",
)


class Branches(NamedTuple):
    """The branches of one DSKD loss.

    Attributes:
        sources (list[str]): Names of the student's modules.
        feats (list[Tensor]): Their outputs for one image, as maps
            (1, C_l, H_l, W_l).
        feat_T (Tensor): The teacher's feature, (1, C, H, W).
        heads (nn.ModuleList): The heads.
    """

    sources: list[str]
    feats: list[Tensor]
    feat_T: Tensor
    heads: nn.ModuleList


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='+', help='configs of DSKD')
    parser.add_argument(
        '--shape',
        required=True,
        metavar='C,H,W',
        type=parse_shape,
        help='shape of an image, such as 3,32,32',
    )
    return parser.parse_args()


def build_algorithm(path: str, image_shape: tuple[int, ...]) -> nn.Module:
    """Build the algorithm of a config, with no weights of its teacher.

    Args:
        path (str): Path of the config.
        image_shape (tuple[int]): Shape of an image, (C, H, W).

    Returns:
        nn.Module: The algorithm, in eval mode.
    """
    cfg = load_config(path)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    resolve_auto(cfg, image_shape)
    cfg.model.pop('teacher_ckpt', None)
    with warnings.catch_warnings():
        # Without its weights the teacher would be of no use, but here it is.
        warnings.simplefilter('ignore')
        algorithm = MODELS.build(cfg.model)
    algorithm.eval()
    return algorithm


@torch.no_grad()
def find_branches(algorithm: nn.Module, image: Tensor) -> Iterator[Branches]:
    """Run student and teacher on an image, and look at what is recorded.

    Args:
        algorithm (nn.Module): The algorithm.
        image (Tensor): The image, (1, C, H, W).

    Yields:
        Branches: Those of each DSKD loss.
    """
    distiller = algorithm.distiller
    with distiller.student_recorders, distiller.teacher_recorders:
        algorithm.student(image)
        algorithm.teacher(image)
    for name, loss in distiller.distill_losses.items():
        if not isinstance(loss, DSKDLoss):
            continue
        mapping = distiller.loss_forward_mappings[name]
        branches = mapping['branches']
        recorder = distiller.student_recorders.get_recorder(
            branches['recorder']
        )
        connector = distiller.connectors[branches['connector']]
        feats = [
            layout.to_map(feat)
            for layout, feat in zip(
                connector.layouts, recorder.get_record_data()
            )
        ]
        yield Branches(
            list(recorder.sources),
            feats,
            distiller.get_record(**mapping['feat_T']),
            connector.heads,
        )


def describe(
    name: str, algorithm: nn.Module, branches: Branches, image: Tensor
) -> tuple[str, ...]:
    """Make a row of the table.

    Args:
        name (str): Name of the config.
        algorithm (nn.Module): The algorithm.
        branches (Branches): The branches.
        image (Tensor): The image, (1, C, H, W).

    Returns:
        tuple[str]: The cells.
    """

    def shape(feat: Tensor) -> str:
        return 'x'.join(map(str, feat.shape[1:]))

    where = [
        f'`{source}` {shape(feat)}'
        for source, feat in zip(branches.sources, branches.feats)
    ]
    parameters = sum(p.numel() for p in branches.heads.parameters())
    flops = sum(map(count_flops, branches.heads, branches.feats))
    share = flops / count_flops(algorithm.student, image)
    return (
        f'`{name}`',
        ', '.join(where),
        shape(branches.feat_T),
        f'{parameters:,}',
        f'{flops / 1e6:,.1f} M',
        f'{share:.0%}',
    )


def main() -> None:
    args = parse_args()
    print(format_header(HEADER))
    for path in args.configs:
        try:
            algorithm = build_algorithm(path, args.shape)
        except OSError as error:
            sys.exit(f'branch_table.py: {error}')
        losses = (
            algorithm.distiller.distill_losses.values()
            if hasattr(algorithm, 'distiller')
            else ()
        )
        if not any(isinstance(loss, DSKDLoss) for loss in losses):
            sys.exit(
                f'branch_table.py: {path} should have a mmdskd.DSKDLoss '
                'in model.distiller.distill_losses, but has none.'
            )
        image = torch.zeros(1, *args.shape)
        try:
            found = list(find_branches(algorithm, image))
        except RuntimeError as error:
            sys.exit(
                'branch_table.py: --shape should be that of an image of '
                f'{path}, but {args.shape} does not fit: {error}'
            )
        for branches in found:
            row = describe(Path(path).stem, algorithm, branches, image)
            print(format_row(row), flush=True)


if __name__ == '__main__':
    main()
