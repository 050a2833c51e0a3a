"""How the weight of a whole loss changes over the training."""

import math
from typing import Any, ClassVar, Optional, Union

from mmdskd.utils.rules import Choice, Number, optional
from mmdskd.utils.spelling import did_you_mean
from mmdskd.utils.values import check_values

TYPES = ('constant', 'linear', 'cosine')


class LossSchedule:
    """A factor on a loss as a function of the progress of the training.

    Companion objectives that fade are as old as deep supervision: `Lee et
    al. <https://arxiv.org/abs/1409.5185>`_ (AISTATS 2015) let theirs vanish
    in the course of the training. All numbers are fractions of the training,
    so a schedule keeps its shape if the number of epochs changes.

    Args:
        type (str): "constant": 1; "linear" or "cosine": from 1 at the start
            down to ``floor`` at ``end``, on a straight line or half a cosine
            wave, and ``floor`` after that. Defaults to "constant".
        floor (float, optional): The last value of "linear" and "cosine", in
            [0, 1). Defaults to None, which means 0.
        end (float, optional): When it is reached, in (0, 1]. Defaults to
            None, which means ``stop``, or else 1, the end of the training.
        stop (float, optional): From when on the factor is 0, in (0, 1].
            Defaults to None, which means never.

    Raises:
        ValueError: If ``type`` is none of these, a number is out of its
            range, ``floor`` or ``end`` is given to "constant", or ``stop``
            leaves no time for ``end``.

    Examples:
        >>> from mmdskd.models import LossSchedule
        >>> linear = LossSchedule('linear', floor=0.2, end=0.5, stop=0.9)
        >>> [round(linear(p), 2) for p in (0, 0.25, 0.5, 0.75, 0.9)]
        [1.0, 0.6, 0.2, 0.2, 0.0]
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(
        type=Choice(TYPES),
        floor=optional(Number(least=0, below=1)),
        end=optional(Number(above=0, most=1)),
        stop=optional(Number(above=0, most=1)),
    )

    def __init__(
        self,
        type: str = 'constant',
        floor: Optional[float] = None,
        end: Optional[float] = None,
        stop: Optional[float] = None,
    ) -> None:
        given = dict(type=type, floor=floor, end=end, stop=stop)
        check_values('a schedule', self.VALUES, given)
        for name, value in (('floor', floor), ('end', end)):
            if type == 'constant' and value is not None:
                raise ValueError(
                    f'{name} is of the schedules linear and cosine: '
                    f'constant has none, but got {name}={value!r}'
                )
        self.type = type
        self.floor = floor or 0.0
        self.end = (stop or 1.0) if end is None else end
        self.stop = stop
        if type != 'constant' and stop is not None and self.end > stop:
            raise ValueError(
                f'end should be <= stop={stop}, but got {self.end}: the '
                'decay would never be over'
            )

    @classmethod
    def build(
        cls, cfg: Union[str, dict[str, Any], 'LossSchedule']
    ) -> 'LossSchedule':
        """Build a schedule from its config.

        Args:
            cfg (str, dict or LossSchedule): A type, or a dict of arguments,
                or a schedule.

        Returns:
            LossSchedule: The schedule.

        Raises:
            TypeError: If it is none of these, or has other arguments.
            ValueError: If a value is out of its range.
        """
        if isinstance(cfg, LossSchedule):
            return cfg
        if isinstance(cfg, str):
            return cls(cfg)
        unknown = (
            [key for key in cfg if key not in cls.VALUES]
            if isinstance(cfg, dict)
            else ['']
        )
        if unknown:
            raise TypeError(
                f'schedule should be {SCHEDULE.text}, but got {cfg!r}'
                f'{did_you_mean(unknown[0], cls.VALUES)}'
            )
        return cls(**cfg)

    @property
    def is_constant(self) -> bool:
        """bool: Whether the factor is 1 throughout."""
        return self.type == 'constant' and self.stop is None

    def __call__(self, progress: float) -> float:
        """Compute the factor.

        Args:
            progress (float): The finished fraction of the training, in
                [0, 1].

        Returns:
            float: The factor, in [0, 1].

        Raises:
            ValueError: If ``progress`` is out of its range.
        """
        if not 0 <= progress <= 1:
            raise ValueError(
                'progress should be the finished fraction of the training, '
                f'in [0, 1], but got {progress!r}'
            )
        if self.stop is not None and progress >= self.stop:
            return 0.0
        if self.type == 'constant':
            return 1.0
        share = min(progress / self.end, 1.0)
        if self.type == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        return 1 - (1 - self.floor) * share


class ScheduleRule(Choice):
    """What :meth:`LossSchedule.build` takes."""

    component = LossSchedule

    @property
    def text(self) -> str:
        """str: The rule."""
        return (
            f'one of {", ".join(TYPES)}, or a dict of '
            f'{", ".join(LossSchedule.VALUES)}'
        )

    def error(self, value: Any) -> Optional[type[Exception]]:
        """See :class:`~mmdskd.utils.rules.Rule`."""
        try:
            LossSchedule.build(value)
        except TypeError:
            return TypeError
        except ValueError:
            return ValueError
        return None


SCHEDULE = ScheduleRule(TYPES)
