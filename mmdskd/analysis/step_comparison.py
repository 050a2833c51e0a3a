"""Compare the training steps of configs: time and memory, or losses."""

from collections.abc import Sequence
from typing import Optional

import numpy as np
from mmengine.config import Config
from mmengine.runner import set_random_seed

from mmdskd.utils.text import format_table

from .measure import Quartiles
from .plain_loop import Loop, PlainLoop, find_kd_weights
from .training_step import SEED, Builder, check_image_size, prepare_config


def build_loops(
    configs: dict[str, Config],
    folder: str,
    synthetic: Optional[tuple[int, int, int]] = None,
    num_batches: int = 1,
    plain_loop: bool = False,
) -> dict[str, Loop]:
    """Build the loops of configs, from equal weights on equal batches.

    Args:
        configs (dict[str, Config]): The configs by their labels, without
            "auto". They are changed.
        folder (str): Folder for logs and teachers.
        synthetic (tuple[int, int, int], optional): Channels, height and width
            of random images in place of the data sets. Defaults to None.
        num_batches (int): Number of batches that serve the steps, in turns.
            Defaults to 1.
        plain_loop (bool): Whether to add a loop in plain PyTorch that does
            the same as the first config. Defaults to False.

    Returns:
        dict[str, Loop]: The loops by their labels, "plain loop" first.

    Raises:
        ValueError: If the first config is not plain logits KD, as
            ``plain_loop`` requires, or the images are resized.
    """
    first = next(iter(configs.values()))
    for cfg in configs.values():
        prepare_config(cfg, synthetic, num_batches)
    if plain_loop:
        find_kd_weights(first)  # raises before all that takes time
    builder = Builder(folder)
    built = {label: builder.build(cfg) for label, cfg in configs.items()}
    if synthetic is not None:
        for label, loop in built.items():
            check_image_size(label, loop, synthetic)
    loops: dict[str, Loop] = {}
    if plain_loop:
        loops['plain loop'] = PlainLoop(
            first,
            next(iter(built.values())),
            builder.weights,
            builder.make_teacher(first),
        )
    loops.update(built)
    return loops


def measure_losses(loops: Sequence[Loop], count: int) -> list[list[float]]:
    """Run the first steps of loops with equal random numbers.

    Args:
        loops (Sequence[Loop]): The loops.
        count (int): How many steps each is run.

    Returns:
        list[list[float]]: The total losses of each loop.
    """
    losses: list[list[float]] = [[] for _ in loops]
    for iteration in range(count):
        for loop, values in zip(loops, losses):
            set_random_seed(SEED + iteration)
            loop.step()
            values.append(loop.loss)
    return losses


def format_costs(
    labels: Sequence[str], times: list[list[float]], memory: list[float]
) -> str:
    """Write time and memory as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        times (list[list[float]]): Seconds of their steps.
        memory (list[float]): Their peak memory, in megabytes.

    Returns:
        str: The table. Ratios are to the first row, and those of times are
        taken turn by turn.
    """
    rows = []
    for label, seconds, megabytes in zip(labels, times, memory):
        step = Quartiles.of([1000 * value for value in seconds])
        ratio = Quartiles.of(
            [value / first for value, first in zip(seconds, times[0])]
        )
        rows.append(
            (
                label,
                step.format(2),
                ratio.format(3),
                f'{megabytes:.1f}',
                f'{megabytes / memory[0]:.3f}',
            )
        )
    return format_table(
        ('', 'step (ms)', 'ratio', 'peak memory (MB)', 'ratio'), rows
    )


def relative_difference(values: list[float], others: list[float]) -> float:
    """Compute the largest relative difference of values, NaN included.

    Args:
        values (list[float]): The values.
        others (list[float]): As many, to which the differences are.

    Returns:
        float: The largest of |value - other| / |other|.
    """
    reference = np.asarray(others)
    return float(np.max(np.abs(values - reference) / np.abs(reference)))


def format_losses(labels: Sequence[str], losses: list[list[float]]) -> str:
    """Write losses as a table.

    Args:
        labels (Sequence[str]): Labels of the rows.
        losses (list[list[float]]): Their total losses, by iteration.

    Returns:
        str: The table, with the differences to the first row.
    """
    numbers = [str(number) for number in range(1, len(losses[0]) + 1)]
    rows = [
        (
            label,
            *(f'{value:.7g}' for value in values),
            f'{relative_difference(values, losses[0]):.1e}',
        )
        for label, values in zip(labels, losses)
    ]
    return format_table(
        ('loss of iteration', *numbers, 'largest relative difference'), rows
    )
