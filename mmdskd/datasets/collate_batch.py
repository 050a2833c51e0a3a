"""Batches that a data set has gathered at once."""

from typing import Any, Union

from mmengine.dataset import default_collate

from mmdskd.registry import FUNCTIONS


class Batch(dict):
    """A batch that tells functions which expect a list of samples."""

    def __missing__(self, key: Any) -> None:
        raise TypeError(
            'InMemoryDataset gives whole batches: the data loader should have '
            'collate_fn=dict(type="mmdskd.collate_batch").'
        )


@FUNCTIONS.register_module()
def collate_batch(batch: Union[dict, list]) -> dict:
    """Make a batch of samples, if it is not one already.

    Args:
        batch (dict or list): What the data set returned: a batch, as that of
            :class:`~mmdskd.datasets.InMemoryDataset`, or a list of samples.

    Returns:
        dict: The batch, with tensors stacked as by MMEngine's
        ``default_collate``.
    """
    return batch if isinstance(batch, dict) else default_collate(batch)
