"""Draw how DSKD works."""

from typing import Any, Union

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

Color = Union[str, tuple[float, ...]]


def branch_colors(number: int) -> list[tuple[float, ...]]:
    """Choose colors for branches: the deeper, the lighter."""
    return [
        matplotlib.colormaps['plasma'](position)
        for position in np.linspace(0.08, 0.75, number)
    ]


def draw_schematic(axes: Axes, sources: list[str]) -> None:
    """Draw how DSKD works.

    Args:
        axes (Axes): Where to draw.
        sources (list[str]): Modules of the student at which the branches
            attach.
    """
    axes.set(xlim=(0, 100), ylim=(0, 66))
    axes.axis('off')
    axes.set_title('DSKD: the teacher supervises every stage')
    number = len(sources)
    colors = branch_colors(number)
    width = min(64 / (number + 1) - 4, 16)
    centers = np.linspace(8 + width / 2, 74 - width / 2, number + 1)

    def box(
        x: float,
        y: float,
        width: float,
        height: float,
        text: str,
        **style: Any,
    ) -> None:
        style = {**dict(fc='white', ec='0.3', lw=1.2), **style}
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle='round,pad=0,rounding_size=1.5',
                **style,
            )
        )
        axes.text(x, y, text, ha='center', va='center', fontsize=9)

    def arrow(
        start: tuple[float, float],
        end: tuple[float, float],
        color: Color = '0.3',
        style: str = '-|>',
        **kwargs: Any,
    ) -> None:
        axes.annotate(
            '',
            end,
            start,
            arrowprops=dict(
                arrowstyle=style,
                color=color,
                lw=1.4,
                shrinkA=0,
                shrinkB=0,
                **kwargs,
            ),
        )

    # The student, as it is deployed
    box(52, 8, 95, 15, '', fc='#eef4fb', ec='#b8cfe6')
    for x, name in zip(centers, [*sources, 'last\nstage']):
        box(x, 9.5, width, 8, name.rpartition('.')[2])
    for left, right in zip(centers, [*centers[1:], 89]):
        arrow(
            (left + width / 2, 9.5),
            (right - (width / 2 if right < 80 else 6), 9.5),
        )
    arrow((4, 9.5), (centers[0] - width / 2, 9.5))
    box(89, 9.5, 12, 8, 'logits')
    axes.text(
        52,
        2.8,
        'student: after training, this alone is kept',
        ha='center',
        va='center',
        fontsize=8.5,
        color='#2c5d8f',
    )
    # The teacher
    box(52, 57, 95, 15, '', fc='#f3f3f3', ec='0.75')
    box(22, 55.5, 30, 8, 'frozen stages')
    box(63, 55.5, 20, 8, 'last feature')
    box(89, 55.5, 12, 8, 'logits')
    arrow((37, 55.5), (53, 55.5))
    arrow((73, 55.5), (83, 55.5))
    arrow((4, 55.5), (7, 55.5))
    axes.text(52, 62, 'teacher', ha='center', va='center', fontsize=8.5)
    # The heads, and what the teacher tells them
    bus = 41
    for x, color, i in zip(centers, colors, range(number)):
        arrow((x, 13.5), (x, 21.5), color)
        box(x, 26, width, 9, f'head {i}', ec=color, lw=2)
        arrow((x, bus), (x, 30.5), color, ls='--')
    axes.plot([centers[0], 86], [bus, bus], color='0.3', lw=1.4, ls='--')
    axes.plot([63, 63], [bus, 51.5], color='0.3', lw=1.4, ls='--')
    axes.plot([86, 86], [bus, 51.5], color='0.3', lw=1.4, ls='--')
    axes.text(
        centers[0] - 2,
        bus + 1.2,
        'feature loss + logit loss,\neach weighted by branch',
        ha='left',
        va='bottom',
        fontsize=8.5,
    )
    arrow((92, 51.5), (92, 13.5), ls='--')
    axes.text(91, 28, 'logits KD', ha='right', va='center', fontsize=8.5)
    axes.text(
        centers[-1],
        26,
        'heads: in\ntraining only',
        ha='center',
        va='center',
        fontsize=8.5,
        color='0.3',
    )
