"""Augmentations of a batch, one after another."""

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import torch
from mmengine.dist import broadcast, get_rank
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmdskd.registry import BATCH_AUGMENTS

from .base_batch_augment import BaseBatchAugment

# What stands for "no seed yet" in a state.
NO_SEED = -1
MAX_SEED = 2**63 - 1


class AugmentSequence(nn.Module):
    """Batch augmentations in a row, with random numbers of their own.

    The numbers of a batch depend on the seed, the rank of the process and
    how many batches there were before, and on nothing else: not on the
    model, the workers that load data, or other draws. The seed and the
    number of batches are the whole state. They are part of ``state_dict``, so
    that a resumed training goes on with the same numbers as one that was not
    interrupted, on each rank, although only rank 0 writes checkpoints. A run
    that only begins with loaded weights (``load_from``) draws its own.

    The numbers are drawn on the device of the images, and nothing waits for
    it. So those of a CPU and a GPU differ.

    Args:
        augments (Sequence[dict or BaseBatchAugment]): At least one.
        seed (int, optional): Seed, >= 0. Defaults to None, for PyTorch's at
            the first batch, which MMEngine's Runner sets; that of rank 0
            serves all.

    Raises:
        TypeError: If ``augments`` is not a sequence of the above, or
            ``seed`` is not a whole number.
        ValueError: If ``augments`` is empty, or ``seed`` out of its range.
    """

    def __init__(
        self,
        augments: Sequence[Union[dict, BaseBatchAugment]],
        seed: Optional[int] = None,
    ) -> None:
        super().__init__()
        if not isinstance(augments, (tuple, list)):
            raise TypeError(
                'augments should be a list of batch augmentations'
                f', but got {augments!r}.'
            )
        if not augments:
            raise ValueError(
                'augments should be at least one, or None, but '
                'got an empty list.'
            )
        if seed is not None and (
            not isinstance(seed, int) or isinstance(seed, bool)
        ):
            raise TypeError(
                f'seed should be an int or None, but got {seed!r}.'
            )
        if seed is not None and not 0 <= seed <= MAX_SEED:
            raise ValueError(
                f'seed should be within 0 to {MAX_SEED}, but got {seed}.'
            )
        self.augments = [self._build(augment) for augment in augments]
        self._given_seed = seed
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.seed = self._given_seed
        self.batches = 0
        self._is_loaded = False

    @staticmethod
    def _build(augment: Union[dict, BaseBatchAugment]) -> BaseBatchAugment:
        """Build an augmentation."""
        if isinstance(augment, dict):
            # In MMRazor's scope, which has no such registry, it would warn.
            augment = BATCH_AUGMENTS.build(dict(_scope_='mmdskd', **augment))
        if not isinstance(augment, BaseBatchAugment):
            raise TypeError(
                'augments should be batch augmentations that draw for each '
                'image, of the class BaseBatchAugment, such as '
                f'mmdskd.BatchRandomCrop, but got {augment!r}. Those that mix '
                'images, such as Mixup, go into batch_augments.'
            )
        return augment

    def forward(self, inputs: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            inputs (Tensor): Images, (N, C, H, W). They are not changed.

        Returns:
            Tensor: New images, (N, C, H', W').
        """
        generator = self._next_generator(inputs.device)
        for augment in self.augments:
            inputs = augment.augment(inputs, generator)
        return inputs

    def _next_generator(self, device: torch.device) -> torch.Generator:
        """Make the generator of the next batch.

        None is kept, since a module with a generator can't be copied.
        """
        if self._is_loaded:
            hub = MessageHub.get_current_instance()
            if hub.get_info('iter', None) == 0:
                self.reset()  # the runner has loaded weights, not resumed
            self._is_loaded = False
        if self.seed is None:
            seed = torch.tensor([torch.initial_seed() & MAX_SEED])
            # With `diff_rank_seed` each rank has another, but the one that
            # is saved is that of rank 0.
            broadcast(seed)
            self.seed = int(seed)
        entropy = np.random.SeedSequence((self.seed, get_rank(), self.batches))
        self.batches += 1
        state = int(entropy.generate_state(1, np.uint64)[0])
        return torch.Generator(device).manual_seed(state & MAX_SEED)

    def get_extra_state(self) -> Tensor:
        """Return the state of the random numbers, for ``state_dict``.

        Returns:
            Tensor: The seed, or -1 if there is none yet, and the number of
            batches, (2,), of int64 on the CPU.
        """
        seed = NO_SEED if self.seed is None else self.seed
        return torch.tensor([seed, self.batches])

    def set_extra_state(self, state: Tensor) -> None:
        """Take over a state of the random numbers, from ``state_dict``.

        Args:
            state (Tensor): What :meth:`get_extra_state` returned.
        """
        seed, self.batches = state.tolist()
        if seed != NO_SEED:
            self.seed = seed
        self._is_loaded = True

    def extra_repr(self) -> str:
        """Describe the augmentations in the module's ``repr``.

        Returns:
            str: The augmentations and the seed.
        """
        return f'{self.augments}, seed={self.seed}'
