"""The file of the widths of a pruned student."""

from os.path import splitext

from mmengine.fileio import get_text

from mmdskd.utils.plain_text import parse_json, parse_yaml
from mmdskd.utils.values import describe

SUFFIXES = ('.json', '.yaml', '.yml')


def read_subnet(path: str) -> dict:
    """Read the widths that MMRazor has written, and run nothing of the file.

    MMEngine's ``load`` takes pickles too, and objects of any class in YAML.

    Args:
        path (str): The file, ``fix_subnet.json`` or a YAML file.

    Returns:
        dict: The widths.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, or holds anything but a dict of
            plain values.
    """
    if splitext(path)[1] not in SUFFIXES:
        raise ValueError(
            f'fix_subnet should be a file {", ".join(SUFFIXES)}, such as '
            f'fix_subnet.json of MMRazor, but got {path}. Other kinds, such '
            'as pickles, could run code'
        )
    text = get_text(path)
    try:
        widths = (parse_json if path.endswith('.json') else parse_yaml)(text)
    except ValueError as error:
        raise ValueError(
            f'fix_subnet should be a file of plain values, but {path} is '
            f'none: {error}'
        ) from None
    if not isinstance(widths, dict):
        raise ValueError(
            f'fix_subnet should be a file of a dict, but {path} holds '
            f'{describe(widths)}'
        )
    return widths
