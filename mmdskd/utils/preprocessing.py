"""Compare how data preprocessors prepare images."""

from typing import Any

# Whether channels are swapped, for ClsDataPreprocessor and ImgDataPreprocessor
SWAPS = ('to_rgb', 'bgr_to_rgb', 'rgb_to_bgr')


def find_differences(ours: dict, theirs: dict) -> list[tuple[str, Any, Any]]:
    """Find what two data preprocessors do to images in different ways.

    Args:
        ours (dict): Config of the one.
        theirs (dict): Config of the other.

    Returns:
        list[tuple]: Name and both values of what differs: mean, std, or
        ``to_rgb``, whether the order of the colours is reversed, as
        ``bgr_to_rgb`` and ``rgb_to_bgr`` of MMEngine do as well.

    Examples:
        >>> from mmdskd.utils.preprocessing import find_differences
        >>> find_differences(dict(mean=[1.0]), dict(mean=[1], bgr_to_rgb=True))
        [('to_rgb', False, True)]
    """
    found: list[tuple[str, Any, Any]] = []
    for name in ('mean', 'std'):
        values = [_numbers(cfg.get(name)) for cfg in (ours, theirs)]
        if values[0] != values[1]:
            found.append((name, ours.get(name), theirs.get(name)))
    swaps = [any(cfg.get(key) for key in SWAPS) for cfg in (ours, theirs)]
    if swaps[0] != swaps[1]:
        found.append(('to_rgb', swaps[0], swaps[1]))
    return found


def _numbers(values: Any) -> Any:
    """A list of numbers, also of one, to be compared."""
    if isinstance(values, (int, float)):
        return [float(values)]
    if isinstance(values, (list, tuple)):
        return [float(value) for value in values]
    return values
