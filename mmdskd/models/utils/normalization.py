"""What a data preprocessor does to the pixels of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from torch import Tensor, nn

from mmdskd.utils.rules import FLAG, POSITIVE, Choice, ListOf, Number, optional
from mmdskd.utils.signatures import find_arguments, tell_unknown
from mmdskd.utils.values import check_values

NAME = 'teacher_data_preprocessor'


def reverses_colors(preprocessor: nn.Module) -> bool:
    """Whether a data preprocessor reverses the order of the colours.

    Args:
        preprocessor (nn.Module): That of a model.

    Returns:
        bool: Whether it does.
    """
    return bool(
        getattr(preprocessor, 'to_rgb', False)  # MMPretrain's
        or getattr(preprocessor, '_channel_conversion', False)  # MMEngine's
    )


class Normalization:
    """Mean, std and order of colours of a data preprocessor.

    Its arguments are those of the data preprocessors of MMPretrain and
    MMEngine, so that the config of one can be given as it is. All that does
    nothing to a pixel in a validation is accepted, and not used.

    Args:
        mean (Sequence[float], optional): What is subtracted, one value for
            each channel or one for all. Defaults to None, for nothing.
        std (Sequence[float], optional): What is divided by, likewise, > 0.
            Defaults to None.
        to_rgb (bool): Whether the order of the colours is reversed. Defaults
            to False.
        bgr_to_rgb (bool): The same in MMEngine. Defaults to False.
        rgb_to_bgr (bool): The same in MMEngine. Defaults to False.
        pad_size_divisor (int): Must be 1. Defaults to 1.
        type (str, optional): Not used, and neither is the rest.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If one is out of its range, mean and std are of different
            lengths, or one of them is missing.
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        mean=optional(ListOf(Number())),
        std=optional(ListOf(POSITIVE)),
        to_rgb=FLAG,
        bgr_to_rgb=FLAG,
        rgb_to_bgr=FLAG,
        pad_size_divisor=Choice((1,)),
    )

    def __init__(
        self,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        to_rgb: bool = False,
        bgr_to_rgb: bool = False,
        rgb_to_bgr: bool = False,
        pad_size_divisor: int = 1,
        type: Any = None,
        _scope_: Any = None,
        pad_value: Any = None,
        num_classes: Any = None,
        to_onehot: Any = None,
        batch_augments: Any = None,
        augments: Any = None,
        seed: Any = None,
        non_blocking: Any = None,
    ) -> None:
        given = dict(
            mean=mean,
            std=std,
            to_rgb=to_rgb,
            bgr_to_rgb=bgr_to_rgb,
            rgb_to_bgr=rgb_to_bgr,
            pad_size_divisor=pad_size_divisor,
        )
        for name, value in given.items():
            check_values(NAME, {name: self.VALUES[name]}, {name: value})
        if (mean is None) != (std is None):
            missing = 'std' if std is None else 'mean'
            raise ValueError(
                f'{NAME} should have both mean and std, or none of them, but '
                f'{missing} is missing'
            )
        if mean is not None and std is not None and len(mean) != len(std):
            raise ValueError(
                f'{NAME}: mean and std should have as many values, but have '
                f'{len(mean)} and {len(std)}'
            )
        self.is_normalizing = mean is not None
        self.mean = [0.0] if mean is None else list(map(float, mean))
        self.std = [1.0] if std is None else list(map(float, std))
        self.swaps = to_rgb or bgr_to_rgb or rgb_to_bgr

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> 'Normalization':
        """Read the config of a data preprocessor.

        Args:
            config (dict): The config.

        Returns:
            Normalization: What it does.

        Raises:
            TypeError: If it is no dict, or a value of another type.
            ValueError: If it has another argument, or a value is not valid.
        """
        if not isinstance(config, Mapping):
            raise TypeError(
                f'{NAME} should be a dict with mean, std and to_rgb, but '
                f'got {config!r}'
            )
        component: Any = cls
        known = find_arguments(component).parameters
        for key in config:
            fault = tell_unknown(key, cls, known)
            if fault:
                raise ValueError(f'{NAME}.{fault}')
        return cls(**config)

    @classmethod
    def of_module(cls, preprocessor: nn.Module) -> 'Normalization':
        """Read a data preprocessor.

        Args:
            preprocessor (nn.Module): The data preprocessor of a model. One
                without ``mean`` and ``std`` leaves the pixels as they are.

        Returns:
            Normalization: What it does.
        """
        mean, std = (
            getattr(preprocessor, name, None) for name in ('mean', 'std')
        )
        values: dict[str, Any] = {}
        if isinstance(mean, Tensor) and isinstance(std, Tensor):
            values = dict(
                mean=mean.reshape(-1).tolist(), std=std.reshape(-1).tolist()
            )
        found = cls()
        found.is_normalizing = bool(values)
        found.mean = values.get('mean', found.mean)
        found.std = values.get('std', found.std)
        found.swaps = reverses_colors(preprocessor)
        return found


@dataclass(frozen=True)
class NormalizationRule:
    """A dict with arguments of :class:`Normalization`, or None."""

    text: str = 'a dict with mean, std and to_rgb, or None'
    component: type = Normalization

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        return None if value is None or isinstance(value, dict) else TypeError
