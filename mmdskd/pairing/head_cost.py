"""What the heads of a pair cost, and how wide they need to be."""

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import nn

from mmdskd.analysis.flops import count_flops
from mmdskd.models import DSKDConnector
from mmdskd.utils.text import format_header, format_row

from .branch_plan import BranchPlan

# A head is narrowed until all of them cost no more than this share of the
# student's FLOPs, or it is this wide.
HEAD_SHARE = 0.5
MIN_HEAD_WIDTH = 128
HEADER = (
    'branch',
    'feature',
    'head parameters',
    'head FLOPs',
    "of the student's FLOPs",
)


class Head(NamedTuple):
    """Cost of the head of a branch for one image, in training only.

    Attributes:
        parameters (int): Its parameters.
        flops (int): Its FLOPs, see :func:`count_flops`.
    """

    parameters: int
    flops: int


def count_student(
    network: nn.Module, image_shape: tuple[int, int, int]
) -> Optional[int]:
    """Count the FLOPs of a network for one image.

    Args:
        network (nn.Module): The network. It is in eval mode afterwards.
        image_shape (tuple[int, int, int]): Channels, height and width.

    Returns:
        int, optional: The FLOPs, or None if it can't be traced.
    """
    try:
        return count_flops(network.eval(), torch.zeros(1, *image_shape))
    # Tracing by torch.jit does not take every network.
    except Exception:
        return None


def count_heads(plan: BranchPlan, head: Optional[dict] = None) -> list[Head]:
    """Count parameters and FLOPs of the heads of a pair.

    Args:
        plan (BranchPlan): Where the branches attach.
        head (dict, optional): Config of a head. None means the default of
            :class:`~mmdskd.models.DSKDConnector`. Defaults to None.

    Returns:
        list[Head]: One per branch.
    """
    connector = DSKDConnector(**plan.connector, head=head).eval()
    return [
        Head(
            sum(p.numel() for p in head.parameters()),
            count_flops(head, torch.zeros(1, feature.channels, *feature.grid)),
        )
        for head, feature in zip(connector.heads, plan.branches)
    ]


def narrow_heads(
    plan: BranchPlan, student_flops: Optional[int]
) -> tuple[Optional[dict], list[Head]]:
    """Make the heads no dearer than :data:`HEAD_SHARE` of the student.

    Args:
        plan (BranchPlan): Where the branches attach.
        student_flops (int, optional): FLOPs of the student. With None the
            heads stay as they are.

    Returns:
        tuple[dict or None, list[Head]]: Config of the heads, if not the
        default, and what they cost.
    """
    channels = plan.target.channels
    width = channels // 2
    head: Optional[dict] = None
    heads = count_heads(plan)
    while (
        student_flops
        and width > MIN_HEAD_WIDTH
        and sum(each.flops for each in heads) > HEAD_SHARE * student_flops
    ):
        width = max(width // 2, MIN_HEAD_WIDTH)
        head = dict(
            type='mmdskd.SepConvHead', bottleneck_ratio=width / channels
        )
        heads = count_heads(plan, head)
    return head, heads


def cost_table(
    plan: BranchPlan, heads: Sequence[Head], student_flops: Optional[int]
) -> str:
    """Write a table of the branches and of what their heads cost.

    Args:
        plan (BranchPlan): Where the branches attach.
        heads (Sequence[Head]): Their heads.
        student_flops (int, optional): FLOPs of the student, if known.

    Returns:
        str: The table, in Markdown.
    """

    def row(name: str, shape: str, heads: Sequence[Head]) -> str:
        flops = sum(head.flops for head in heads)
        share = f'{flops / student_flops:.0%}' if student_flops else '?'
        parameters = sum(head.parameters for head in heads)
        return format_row(
            (name, shape, f'{parameters:,}', f'{flops / 1e6:,.1f} M', share)
        )

    return '\n'.join(
        [
            format_header(HEADER),
            *(
                row(f'`{feature.name}`', feature.shape, [head])
                for feature, head in zip(plan.branches, heads)
            ),
            row('all', f'to {plan.target.shape}', heads),
        ]
    )
