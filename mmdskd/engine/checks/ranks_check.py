"""Check that all processes of a run do the same."""

from typing import Any

from mmengine.dist import all_gather_object, get_world_size
from mmengine.runner import Runner


def check_ranks(runner: Runner) -> None:
    """Check that all processes have the same number of iterations.

    Else one waits for the gradients of the others, without end.

    Args:
        runner (Runner): The runner. Its data loaders are built.

    Raises:
        ValueError: If the numbers differ.
    """
    if get_world_size() == 1:
        return
    loader: Any = getattr(runner.train_loop, 'dataloader', None)
    lengths = all_gather_object(
        len(loader) if hasattr(loader, '__len__') else None
    )
    if len(set(lengths)) > 1:
        raise ValueError(
            'train_dataloader should have the same number of iterations on '
            f'all ranks, but has {lengths}. Let the sampler fill up the last '
            'batches (round_up=True of DefaultSampler), or set '
            'drop_last=True where that makes them equal.'
        )
