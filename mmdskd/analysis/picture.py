"""Write pictures to files."""

from pathlib import Path
from typing import Union

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from mmdskd.utils.files import write_atomically
from mmdskd.utils.text import shorten


def check_picture_name(path: Union[str, Path]) -> None:
    """Check that the name of a picture tells its format.

    Args:
        path (str or Path): The file.

    Raises:
        ValueError: If it does not.
    """
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in formats:
        raise ValueError(
            'The name of a picture should end with its format, such as '
            f'dskd.png (one of {shorten(formats, len(formats))}), but got '
            f'{str(path)!r}'
        )


def save_figure(figure: Figure, path: Union[str, Path], dpi: int) -> None:
    """Write a picture, see :func:`mmdskd.utils.files.write_atomically`.

    Args:
        figure (Figure): The picture.
        path (str or Path): The file, whose name tells the format.
        dpi (int): Dots per inch.

    Raises:
        OSError: If the file can't be written.
        ValueError: If its name does not tell the format.
    """
    check_picture_name(path)
    kind = Path(path).suffix[1:].lower()
    write_atomically(
        path, lambda file: figure.savefig(file, dpi=dpi, format=kind)
    )
