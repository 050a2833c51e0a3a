"""Where a training is in its data, and how a resumed one gets there."""

from collections.abc import Iterator
from typing import Any, Callable, Optional

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner.loops import (
    EpochBasedTrainLoop,
    _InfiniteDataloaderIterator,
)
from torch.utils.data import DataLoader, get_worker_info

from mmdskd.utils.random_state import (
    get_random_state,
    keep_random_state,
    seed_random_numbers,
    set_random_state,
)


class SeededBatch(list):
    """Indices of a batch. The worker that loads it seeds itself by it.

    So what a worker draws depends on the batch, and not on what it or others
    have loaded before: a resumed run needs to load nothing again.
    """

    entropy: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[int]:
        if get_worker_info() is not None:
            seed_random_numbers(*self.entropy)
        return super().__iter__()


class PositionedBatchSampler:
    """A batch sampler that can begin in the middle of a pass.

    Args:
        batch_sampler (Sampler): Yields the indices of each batch.
        get_entropy (Callable): Returns what random numbers of this pass
            depend on.

    Attributes:
        skip (int): Number of batches that the next pass leaves out.
        start (dict, optional): The random state in which that pass has begun
            when it was run for the first time.
    """

    def __init__(
        self, batch_sampler: Any, get_entropy: Callable[[], tuple[int, ...]]
    ) -> None:
        self.batch_sampler = batch_sampler
        self.get_entropy = get_entropy
        self.skip = 0
        self.start: Optional[dict] = None

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # of a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[list[int]]:
        entropy = self.get_entropy()
        skip, self.skip = self.skip, 0
        batches = iter(self.batch_sampler)
        if skip:
            with keep_random_state():
                if self.start is not None:
                    set_random_state(self.start)
                for _ in range(skip):
                    next(batches, None)
        else:
            self.start = get_random_state()
        for index, batch in enumerate(batches, skip):
            if isinstance(batch, list):
                batch = SeededBatch(batch)
                batch.entropy = (*entropy, index)
            yield batch


def position_batches(
    dataloader: Any, get_entropy: Callable[[], tuple[int, ...]]
) -> Optional[PositionedBatchSampler]:
    """Let a data loader begin in the middle of a pass.

    Args:
        dataloader (DataLoader): The data loader, changed in place.
        get_entropy (Callable): See :class:`PositionedBatchSampler`.

    Returns:
        PositionedBatchSampler: Its batch sampler. None if the data loader
        has none that chooses the samples.
    """
    if (
        not isinstance(dataloader, DataLoader)
        or dataloader.batch_sampler is None
        or not hasattr(dataloader.dataset, '__getitem__')
    ):
        return None
    batch_sampler = dataloader.batch_sampler
    if isinstance(batch_sampler, PositionedBatchSampler):
        batch_sampler = batch_sampler.batch_sampler
    positioned = PositionedBatchSampler(batch_sampler, get_entropy)
    # The data loader itself refuses another one.
    object.__setattr__(dataloader, 'batch_sampler', positioned)
    return positioned


def keep_seeds_apart(dataloader: Any, seed: int) -> None:
    """Let a data loader whose workers persist draw no numbers of the run.

    It draws a seed when its workers start: once, and once more after a
    resume.

    Args:
        dataloader (DataLoader): The data loader, changed in place.
        seed (int): Seed of the run.
    """
    if getattr(dataloader, 'persistent_workers', False):
        dataloader.generator = torch.Generator().manual_seed(seed)


class PositionedIterator(_InfiniteDataloaderIterator):
    """MMEngine's endless iterator, which knows where it is.

    Args:
        dataloader (DataLoader): The data loader.
        sampler (PositionedBatchSampler, optional): Its batch sampler. Without
            one, batches are loaded to be skipped.
        passes (int): Number of finished passes. Defaults to 0.
        taken (int): Number of batches that were taken in this pass. Defaults
            to 0.
        done (int): Number of all batches that were taken, which MMEngine is
            going to skip. Defaults to 0.
    """

    def __init__(
        self,
        dataloader: DataLoader,
        sampler: Optional[PositionedBatchSampler],
        passes: int = 0,
        taken: int = 0,
        done: int = 0,
    ) -> None:
        self._dataloader = dataloader
        self._epoch = passes
        self._iterator: Any = None
        self.sampler = sampler
        self.taken = taken
        self.done = done

    @property
    def passes(self) -> int:
        """int: Number of finished passes over the data."""
        return self._epoch

    def __next__(self) -> Any:
        if self.done:
            self.done -= 1
            return None
        if self._iterator is None:
            self._begin()
        passes = self._epoch
        batch = super().__next__()
        if self._epoch != passes:
            self.taken = 0
        self.taken += 1
        return batch

    def skip_iter(self, num_iters: int) -> None:
        """Skip batches, in place of as many calls of ``next``.

        MMEngine of OneDL calls it. No batch has to be loaded: the first
        ``next`` goes to where the training is.

        Args:
            num_iters (int): Number of batches.
        """
        self.done = max(self.done - num_iters, 0)

    def _begin(self) -> None:
        """Go to where the training is."""
        sampler = find_sampler(self._dataloader)
        if self._epoch and hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(self._epoch)
        if isinstance(sampler, InfiniteSampler):
            # MMEngine has begun to iterate when it built the loop.
            sampler.indices = sampler._indices_of_rank()
        self._iterator = begin_pass(self._dataloader, self.sampler, self.taken)


def find_sampler(dataloader: Any) -> Any:
    """Find the sampler that has an epoch, as MMEngine does.

    Args:
        dataloader (DataLoader): The data loader.

    Returns:
        Sampler: That of the data loader, or of its batch sampler, or None.
    """
    sampler = getattr(dataloader, 'sampler', None)
    if hasattr(sampler, 'set_epoch'):
        return sampler
    batch_sampler = getattr(dataloader, 'batch_sampler', None)
    return getattr(batch_sampler, 'sampler', None)


def begin_pass(
    dataloader: Any, sampler: Optional[PositionedBatchSampler], skip: int
) -> Iterator:
    """Begin a pass over the data, or the rest of one.

    Args:
        dataloader (DataLoader): The data loader.
        sampler (PositionedBatchSampler, optional): Its batch sampler. Without
            one, batches are loaded to be skipped.
        skip (int): Number of batches to leave out, >= 0. With it, no random
            numbers are drawn: they were drawn when the pass has begun.

    Returns:
        Iterator: The batches.
    """
    if not skip:
        return iter(dataloader)
    with keep_random_state():
        if sampler is not None:
            sampler.skip = skip
            return iter(dataloader)
        batches = iter(dataloader)
        for _ in range(skip):
            next(batches, None)
        return batches


def run_rest_of_epoch(
    loop: EpochBasedTrainLoop,
    sampler: Optional[PositionedBatchSampler],
    done: int,
) -> None:
    """Run what is left of an epoch, as ``EpochBasedTrainLoop.run_epoch``.

    Args:
        loop (EpochBasedTrainLoop): The loop.
        sampler (PositionedBatchSampler, optional): See :func:`begin_pass`.
        done (int): Number of batches of this epoch that were trained.
    """
    runner = loop.runner
    # The hooks drew when the epoch has begun.
    with keep_random_state():
        runner.call_hook('before_train_epoch')
    runner.model.train()
    batches = begin_pass(loop.dataloader, sampler, done)
    for index, batch in enumerate(batches, done):
        loop.run_iter(index, batch)
    runner.call_hook('after_train_epoch')
    loop._epoch += 1
