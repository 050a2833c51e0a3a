"""Say which samples are in a batch."""

from typing import Any, Optional

from torch import Tensor


def describe_samples(data_batch: Any) -> str:
    """Name the samples of a batch, and its images that are not finite.

    Args:
        data_batch (dict or tuple or list): A batch of MMEngine's data loader,
            with ``inputs`` and ``data_samples``.

    Returns:
        str: The ``sample_idx`` of each, its ``img_path`` where there is no
        index, or its place in the batch.
    """
    if not isinstance(data_batch, dict):
        return 'samples of the batch: unknown, it is no dict'
    samples = data_batch.get('data_samples') or []
    inputs = data_batch.get('inputs')
    inputs = inputs if isinstance(inputs, (Tensor, list, tuple)) else []
    names = [
        _name(samples[i] if i < len(samples) else None, i)
        for i in range(max(len(samples), len(inputs)))
    ]
    text = f'samples of the batch: {", ".join(names) or "unknown"}'
    broken = [
        names[i] + _path(samples[i] if i < len(samples) else None)
        for i, image in enumerate(inputs)
        if isinstance(image, Tensor)
        and image.is_floating_point()
        and not image.isfinite().all()
    ]
    if broken:
        text = f'images that are not finite: {", ".join(broken)}; {text}'
    return text


def _name(sample: Any, place: int) -> str:
    for key in ('sample_idx', 'img_path'):
        value: Optional[Any] = getattr(sample, key, None)
        if value is not None:
            return str(value)
    return f'no. {place}'


def _path(sample: Any) -> str:
    path = getattr(sample, 'img_path', None)
    return '' if path is None else f' ({path})'
