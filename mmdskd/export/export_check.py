"""Compare an exported student with the student in PyTorch."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor, nn

from .deployable import Graph, compute_reference
from .exporters import ExportError, Run, first_line

# Sizes of the first batches where any is allowed, and of the others
SIZES = (1, 2, 7)
SIZE = 16


class Images(NamedTuple):
    """Images, and what the student makes of them.

    Attributes:
        inputs (Tensor): What the exported graph takes, (N, C, H, W).
        outputs (list[Tensor]): What it should give, each (N, K).
        are_pixels (bool): Whether ``inputs`` are pixels of 0 to 255, and not
            what a pipeline or a data preprocessor has made of them.
    """

    inputs: Tensor
    outputs: list[Tensor]
    are_pixels: bool = True


class Comparison(NamedTuple):
    """How an exported student differs from the one in PyTorch.

    Attributes:
        difference (float): The largest absolute difference of an output.
        scale (float): The largest absolute value of that output.
        images (int): Number of images.
        agreeing (int): How many of them get the same class.
        sizes (tuple[int]): Sizes of the batches.
    """

    difference: float
    scale: float
    images: int
    agreeing: int
    sizes: tuple[int, ...]

    @property
    def relative(self) -> float:
        """The difference as a share of the largest value."""
        if not self.scale:
            return 0.0 if not self.difference else float('inf')
        return self.difference / self.scale

    def __str__(self) -> str:
        return (
            f'largest difference {self.difference:.2g} of outputs up to '
            f'{self.scale:.3g} ({self.relative:.1e}), same class for '
            f'{self.agreeing} of {self.images} images, in batches of '
            f'{", ".join(map(str, self.sizes))}'
        )


def prepare_images(network: nn.Module, graph: Graph, batch: Any) -> Images:
    """Let the network in PyTorch tell what the exported graph should give.

    Args:
        network (nn.Module): The network, in eval mode.
        graph (Graph): What the graph takes and gives.
        batch (Any): Images as a data loader gives them.

    Returns:
        Images: Input and expected outputs.

    Raises:
        ExportError: If the network does not take the images.
        ValueError: If the images are not of one size, or the network makes
            nan or inf of them.
    """
    raw = batch['inputs'] if isinstance(batch, dict) else None
    if isinstance(raw, (list, tuple)):
        shapes = sorted({tuple(image.shape) for image in raw})
        if len(shapes) > 1:
            raise ValueError(
                'The images of the run should be of one size, as the exported '
                f'graph takes one size, but are {shapes[0]}, {shapes[1]} '
                'and so on (channels, height, width): let the pipeline crop or'
                ' resize them'
            )
        raw = torch.stack(list(raw))
    if not isinstance(raw, Tensor) or raw.dim() != 4:
        raise ValueError(
            'A batch of the run should be a dict with "inputs" of '
            '(N, C, H, W), as PackInputs makes it, but is something else'
        )
    preprocessor: Any = network.data_preprocessor
    try:
        prepared = preprocessor(dict(inputs=raw), False)
        outputs = compute_reference(network, graph, prepared)
    except ExportError:
        raise
    # Whatever a network does not like about images
    except Exception as error:
        raise ExportError(
            f'The student fails on images of {tuple(raw.shape[1:])} '
            f'(channels, height, width): {first_line(error)}'
        ) from error
    if not outputs:
        raise ValueError(
            f'{type(network).__name__} should return logits for '
            'mode="tensor", but returns no tensor'
        )
    if not all(output.isfinite().all() for output in outputs):
        raise ValueError(
            'The student should give finite numbers, but gives nan or inf on '
            'images of the run: its weights are broken'
        )
    if graph.normalize == 'outside':
        return Images(prepared['inputs'].float(), outputs, False)
    inputs = raw.float()
    inputs = inputs.flip(1) if graph.flip else inputs
    return Images(inputs, outputs, raw.dtype == torch.uint8)


def compare(
    run: Run, images: Images, batch: Optional[int] = None
) -> Comparison:
    """Compare an exported student with the one in PyTorch.

    Args:
        run (Run): The exported student.
        images (Images): Images and expected outputs.
        batch (int, optional): The size of its batches, None for any, of which
            several are tried. Defaults to None.

    Returns:
        Comparison: How it differs, on the output that differs most.

    Raises:
        ExportError: If it does not run, or gives other shapes.
    """
    found: list[list[Tensor]] = []
    sizes: list[int] = []
    number = len(images.inputs)
    for rows in _batches(number, batch):
        try:
            outputs = run(images.inputs[rows].contiguous())
        # Whatever a runtime meets in a file
        except Exception as error:
            raise ExportError(
                f'it does not run on a batch of {len(rows)}: '
                f'{first_line(error)}'
            ) from error
        expected = [output[rows] for output in images.outputs]
        _check_shapes(outputs, expected)
        found.append(outputs)
        sizes.append(len(rows))
    order = [row for rows in _batches(number, batch) for row in rows]
    results = [torch.cat(parts).float() for parts in zip(*found)]
    expected = [output[order] for output in images.outputs]
    agreeing = {
        row
        for row, ours, theirs in zip(
            order, results[-1].argmax(1), expected[-1].argmax(1)
        )
        if ours == theirs
    }
    worst = max(
        (
            Comparison(
                # nan is larger than all
                (ours - theirs).abs().nan_to_num(float('inf')).max().item(),
                theirs.abs().max().item(),
                number,
                len(agreeing),
                tuple(sorted(set(sizes))),
            )
            for ours, theirs in zip(results, expected)
        ),
        key=lambda comparison: comparison.relative,
    )
    return worst


def _check_shapes(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Check that outputs have the shapes of the network's."""
    shapes = [[tuple(o.shape) for o in outputs] for outputs in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ExportError(
            f'it gives outputs of {shapes[0]}, where the student gives '
            f'{shapes[1]}'
        )


def _batches(number: int, batch: Optional[int]) -> Iterator[list[int]]:
    """Divide images into batches, of which none is smaller than allowed.

    If there are too few images, some serve again.
    """
    sizes = iter(() if batch else SIZES)
    start = 0
    minimum = batch or sum(SIZES)
    while start < max(number, minimum):
        size = batch or next(sizes, min(SIZE, number - start))
        yield [row % number for row in range(start, start + size)]
        start += size
