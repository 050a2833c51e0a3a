"""How a student is exported."""

import os.path as osp
from typing import NamedTuple, Optional

from mmdskd.utils.files import check_new_file

from .colors import ORDERS
from .deployable import Graph
from .onnx_file import check_opset, check_packages

FORMATS = {
    '.onnx': 'onnx',
    '.pt': 'torchscript',
    '.pts': 'torchscript',
    '.torchscript': 'torchscript',
}
NUM_IMAGES = 64


class Settings(NamedTuple):
    """How a student is exported.

    Attributes:
        graph (Graph): What the file takes and gives.
        batch (int, optional): Size of the batch, None for any.
        colors (str, optional): Order of the colours that the file takes,
            "rgb" or "bgr". None for that of the run's data.
        opset (int, optional): Version of the operators of ONNX, None for that
            of the exporter.
        tolerance (float): The largest difference that is allowed, as a share
            of the largest output.
        check (bool): Whether the file is run, and compared.
        num_images (int): On how many images.
        shape (tuple[int], optional): Channels, height and width of random
            images, where there are no images of the run.
        format (str, optional): "onnx" or "torchscript", None for that of the
            suffix of the file.
    """

    graph: Graph = Graph()
    batch: Optional[int] = None
    colors: Optional[str] = None
    opset: Optional[int] = None
    tolerance: float = 1e-4
    check: bool = True
    num_images: int = NUM_IMAGES
    shape: Optional[tuple[int, ...]] = None
    format: Optional[str] = None


def find_format(path: str, wanted: Optional[str] = None) -> str:
    """Find the format of a file.

    Args:
        path (str): The file.
        wanted (str, optional): The format, whatever the suffix. Defaults to
            None.

    Returns:
        str: "onnx" or "torchscript".

    Raises:
        ValueError: If the suffix is of no format.
    """
    found = wanted or FORMATS.get(osp.splitext(path)[1])
    if found is None or found not in FORMATS.values():
        raise ValueError(
            f'The exported file should end with {", ".join(FORMATS)}, or '
            f'come with a format, but got {path!r}'
        )
    return found


def check_settings(path: str, settings: Settings, force: bool = False) -> None:
    """Check before all work what can be checked.

    Args:
        path (str): The file to write.
        settings (Settings): How it is exported.
        force (bool): Whether a file that is there is replaced. Defaults to
            False.

    Raises:
        ImportError: If an exporter is missing.
        OSError: If the file can't be written.
        ValueError: If the settings do not fit one another.
    """
    kind = find_format(path, settings.format)
    if settings.opset is not None and kind != 'onnx':
        raise ValueError('opset should be given for ONNX only')
    if settings.colors not in (None, *ORDERS):
        raise ValueError(
            f'colors should be one of {", ".join(ORDERS)}, but got '
            f'{settings.colors!r}'
        )
    if settings.colors is not None and settings.graph.normalize == 'outside':
        raise ValueError(
            'colors should be given with the normalisation inside only: '
            'outside, images come in the order of the network'
        )
    for name, number in (
        ('batch', settings.batch),
        ('num_images', settings.num_images),
    ):
        if number is not None and number < 1:
            raise ValueError(f'{name} should be >= 1, but got {number}')
    if kind == 'onnx':
        check_packages(settings.check)
        if settings.opset is not None:
            check_opset(settings.opset)
    check_new_file(path, force)
