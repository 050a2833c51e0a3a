"""Give a teacher the images of its student as it was trained on them."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdskd.utils.rules import COUNT, AnyOf, Choice, ListOf, optional
from mmdskd.utils.values import check_value

from .normalization import NAME, Normalization, NormalizationRule

#: How images can be resized, as :func:`torch.nn.functional.interpolate` does.
INTERPOLATIONS = ('bilinear', 'bicubic', 'nearest-exact', 'area')
# Those that can be kept from aliasing, as Pillow does, and timm by it.
SMOOTH = ('bilinear', 'bicubic')

#: What the arguments of an algorithm should be.
VALUES: dict[str, Any] = dict(
    teacher_data_preprocessor=NormalizationRule(),
    teacher_input_size=optional(AnyOf((COUNT, ListOf(COUNT, 2)))),
    teacher_interpolation=Choice(INTERPOLATIONS),
)


class TeacherPreprocessor:
    """Turns the images of a student into those of its teacher.

    The images are normalised already, by the student's data preprocessor.
    One affine map per channel takes them to the normalisation of the
    teacher:

        x * std_S / std_T + (mean_S - mean_T) / std_T

    After that they are resized. Both are linear, so images that are mixed by
    Mixup or CutMix come out as if the teacher's own images had been mixed.
    Images of one channel become as many as the teacher's mean has.

    It computes without gradients in float32, and has neither parameters nor
    buffers: nothing of it is in a checkpoint.

    Args:
        ours (Normalization): What was done to the images.
        theirs (Normalization, optional): What the teacher was trained with.
            Defaults to None, for the same.
        input_size (int or Sequence[int], optional): Size of the teacher's
            images, one edge, or height and width. Defaults to None, for that
            of the student.
        interpolation (str): How they are resized, "bilinear", "bicubic",
            "nearest-exact" or "area". The first two do not alias. Defaults
            to "bicubic".

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If one is out of its range, the numbers of channels
            differ, or one ``std`` is of pixels from 0 to 1 and the other one
            of pixels from 0 to 255.

    Examples:
        >>> import torch
        >>> from mmdskd.models import Normalization, TeacherPreprocessor
        >>> preprocess = TeacherPreprocessor(
        ...     Normalization(mean=[129.3, 124.1, 112.4],
        ...                   std=[68.2, 65.4, 70.4]),
        ...     Normalization(mean=[127.5] * 3, std=[127.5] * 3),
        ...     input_size=224)
        >>> preprocess(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 3, 224, 224])
    """

    def __init__(
        self,
        ours: Normalization,
        theirs: Optional[Normalization] = None,
        input_size: Union[int, Sequence[int], None] = None,
        interpolation: str = 'bicubic',
    ) -> None:
        for name, value in (
            ('teacher_input_size', input_size),
            ('teacher_interpolation', interpolation),
        ):
            check_value(name, value, VALUES[name])
        self.size = as_size(input_size)
        self.interpolation = interpolation
        self.swaps = theirs is not None and ours.swaps != theirs.swaps
        self.num_channels = 1
        self._scale: Optional[Tensor] = None
        self._shift = torch.zeros(())
        if theirs is not None:
            check_fits(ours, theirs)
            self._set_map(ours, theirs)

    def _set_map(self, ours: Normalization, theirs: Normalization) -> None:
        """Compute the affine map, channel by channel."""
        values = [  # in float32 first, as data preprocessors hold them
            torch.tensor(row, dtype=torch.float32).double().view(-1, 1, 1)
            for row in (ours.mean, ours.std, theirs.mean, theirs.std)
        ]
        if self.swaps and len(ours.mean) == 3:
            values[:2] = [value.flip(0) for value in values[:2]]
        mean_S, std_S, mean_T, std_T = values
        scale, shift = std_S / std_T, (mean_S - mean_T) / std_T
        self.num_channels = len(shift)
        if len(theirs.mean) > len(ours.mean) or not (
            torch.equal(scale, torch.ones_like(scale)) and not shift.any()
        ):
            self._scale, self._shift = scale.float(), shift.float()

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Turn images of the student into those of the teacher.

        Args:
            inputs (Tensor): Images of the student, (N, C, H, W). They are not
                changed.

        Returns:
            Tensor: Images of the teacher, (N, C', H', W'), of the same type,
            or float32 for integers.

        Raises:
            TypeError: If it is no such tensor.
            ValueError: If it has another number of channels.
        """
        if not isinstance(inputs, Tensor) or inputs.dim() != 4:
            found = (
                f'a tensor of shape {tuple(inputs.shape)}'
                if isinstance(inputs, Tensor)
                else f'a {type(inputs).__name__}'
            )
            raise TypeError(
                f'{NAME} and teacher_input_size need images as one tensor '
                f'(N, C, H, W), but got {found}'
            )
        channels = inputs.size(1)
        if self.num_channels > 1 and channels not in (1, self.num_channels):
            raise ValueError(
                f'{NAME}: mean and std should have one value, or one for each '
                f'channel of the images, {channels}, but have '
                f'{self.num_channels}'
            )
        images = inputs
        if images.dtype not in (torch.float32, torch.float64):
            images = images.float()
        if self.swaps and channels == 3:
            images = images.flip(1)
        if self._scale is not None:
            if self._scale.device != images.device:
                self._scale = self._scale.to(images.device)
                self._shift = self._shift.to(images.device)
            images = torch.addcmul(self._shift, images, self._scale)
        if self.size is not None and images.shape[2:] != self.size:
            options = {}
            if self.interpolation in SMOOTH:
                options = dict(align_corners=False, antialias=True)
            images = F.interpolate(
                images, self.size, mode=self.interpolation, **options
            )
        return (
            images.to(inputs.dtype) if inputs.is_floating_point() else images
        )


def as_size(
    size: Union[int, Sequence[int], None],
) -> Optional[tuple[int, int]]:
    """Write a size of images in full.

    Args:
        size (int or Sequence[int], optional): One edge, or height and width.

    Returns:
        tuple[int, int], optional: Height and width.
    """
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def check_fits(ours: Normalization, theirs: Normalization) -> None:
    """Check that two normalisations can be those of the same images.

    Args:
        ours (Normalization): That of the student.
        theirs (Normalization): That of the teacher.

    Raises:
        ValueError: If their numbers of channels differ, or one is of pixels
            from 0 to 1 and the other one of pixels from 0 to 255.
    """
    numbers = len(ours.mean), len(theirs.mean)
    if numbers[0] != numbers[1] and 1 not in numbers:
        raise ValueError(
            f'{NAME}: mean and std should have {numbers[0]} values, as '
            f'data_preprocessor has, or one, but have {numbers[1]}'
        )
    if not (ours.is_normalizing and theirs.is_normalizing):
        return
    for small, large, top, do in (
        (theirs, ours, 255, 'multiply mean and std by 255'),
        (ours, theirs, 1, 'divide mean and std by 255'),
    ):
        if max(small.std) < 1 < max(*large.mean, *large.std):
            raise ValueError(
                f'{NAME}: mean and std should be of pixels from 0 to {top}, '
                f'as those of data_preprocessor are (std {_list(ours.std)}), '
                f'but got std {_list(theirs.std)}: {do}'
            )


def _list(values: list[float]) -> list[float]:
    """Values as they were written, not as float32 holds them."""
    return [float(f'{value:.6g}') for value in values]


def make_teacher_preprocessor(
    preprocessor: nn.Module, config: Mapping[str, Any]
) -> Optional[TeacherPreprocessor]:
    """Make what turns images into those of a teacher, if a config wants it.

    Args:
        preprocessor (nn.Module): Data preprocessor of the algorithm.
        config (dict): Config of the algorithm, or its arguments, of which
            those of :data:`VALUES` are read.

    Returns:
        TeacherPreprocessor, optional: None if the teacher gets the images of
        the student.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If one is not valid.
    """
    theirs = config.get('teacher_data_preprocessor')
    size = config.get('teacher_input_size')
    made = TeacherPreprocessor(
        Normalization.of_module(preprocessor),
        None if theirs is None else Normalization.from_config(theirs),
        size,
        config.get('teacher_interpolation', 'bicubic'),
    )
    return None if theirs is None and size is None else made


def find_teacher_shape(
    config: Mapping[str, Any], image_shape: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Find the shape of the images that a teacher gets.

    Args:
        config (dict): Config of an algorithm.
        image_shape (tuple[int, int, int]): Channels, height and width of the
            images of the student.

    Returns:
        tuple[int, int, int]: Those of the teacher.
    """
    channels, height, width = image_shape
    size = as_size(config.get('teacher_input_size')) or (height, width)
    theirs = config.get('teacher_data_preprocessor') or {}
    if channels == 1:
        channels = len(theirs.get('mean') or [0])
    return (channels, *size)


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check those arguments of an algorithm that belong together.

    Args:
        arguments (dict): Config of the algorithm.

    Raises:
        TypeError: If one is of another type.
        ValueError: If one is not valid.
    """
    theirs = arguments.get('teacher_data_preprocessor')
    if theirs is not None:
        Normalization.from_config(theirs)
    if 'teacher_interpolation' in arguments and not arguments.get(
        'teacher_input_size'
    ):
        raise ValueError(
            'teacher_interpolation should come with teacher_input_size, '
            'without which no image is resized'
        )


def prepare_for_teacher(algorithm: Any, inputs: Tensor) -> Tensor:
    """Turn images of a student into those of its teacher.

    Args:
        algorithm (nn.Module): The algorithm, of any kind.
        inputs (Tensor): Images of the student, (N, C, H, W).

    Returns:
        Tensor: What the teacher gets. In algorithms other than
        :class:`~mmdskd.models.FrozenTeacherDistill`, it is the same.
    """
    preprocess = getattr(algorithm, 'teacher_preprocessor', None)
    return inputs if preprocess is None else preprocess(inputs)
