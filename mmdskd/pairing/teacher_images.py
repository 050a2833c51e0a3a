"""The images that a teacher was trained on, where they are not the data's."""

from statistics import fmean
from typing import Any, NamedTuple, Optional, Union

from torch import nn

from mmdskd.export.colors import BGR, RGB, find_data_colors
from mmdskd.models.utils.pretrained_images import (
    PretrainedImages,
    find_pretrained_images,
)
from mmdskd.models.utils.teacher_preprocessor import as_size
from mmdskd.utils.image_size import find_built_size
from mmdskd.utils.preprocessing import SWAPS, find_differences

from .image_shape import find_image_shape
from .source_config import SourceConfig

#: The size of a teacher's images that means that of the student.
FROM_DATA = 'data'
# The order of splits in which the size of an evaluation is looked for.
EVALUATION = ('test', 'val', 'train')

InputSize = Union[int, tuple[int, int], str, None]


class TeacherImages(NamedTuple):
    """How images are prepared for a teacher.

    Attributes:
        options (dict): Arguments of
            :class:`~mmdskd.models.FrozenTeacherDistill`. Empty if the teacher
            was made for the images of the student.
        source (str, optional): What says how its images were normalised. None
            if nothing does.
    """

    options: dict[str, Any]
    source: Optional[str] = None


def choose_teacher_images(
    teacher: SourceConfig,
    data: SourceConfig,
    network: nn.Module,
    image_shape: tuple[int, int, int],
    brings_weights: bool = False,
    input_size: InputSize = None,
) -> TeacherImages:
    """Choose how the images of the student are prepared for its teacher.

    The teacher's config says how its own images were normalised. A network of
    timm, torchvision or Hugging Face says it by itself: that counts if it
    brings its weights, or if its config has neither a normalisation nor data.

    Args:
        teacher (SourceConfig): The teacher.
        data (SourceConfig): That of the two whose data are used.
        network (nn.Module): The teacher, built.
        image_shape (tuple[int, int, int]): Channels, height and width of the
            images of the student.
        brings_weights (bool): Whether the teacher loads its weights by
            itself. Defaults to False.
        input_size (int, tuple[int, int] or str, optional): Size of the
            teacher's images, or "data" for that of the student. None finds
            it: that of its evaluation, if it is another one than that of the
            data. Defaults to None.

    Returns:
        TeacherImages: What was found.
    """
    own = find_pretrained_images(network)
    has_data = teacher.cfg.get('train_dataloader') is not None
    if not (
        brings_weights or not (has_data or teacher.preprocessor.get('mean'))
    ):
        own = None  # its config goes first
    theirs, source = _find_normalisation(teacher, data, own)
    options = _normalise(data.preprocessor, theirs, network, image_shape)
    size: Optional[tuple[int, int]] = None
    if input_size != FROM_DATA:
        size = as_size(input_size)  # type: ignore[arg-type]
        if input_size is None and teacher.path != data.path:
            size = _find_size(teacher, own, network)
            if size in _list_sizes(data, image_shape):
                size = None
    if size is not None and size != image_shape[1:]:
        options['teacher_input_size'] = size[0] if size[0] == size[1] else size
        if own is not None and own.interpolation != 'bicubic':
            options['teacher_interpolation'] = own.interpolation
    return TeacherImages(options, source)


def _find_normalisation(
    teacher: SourceConfig, data: SourceConfig, own: Optional[PretrainedImages]
) -> tuple[Optional[dict], Optional[str]]:
    """Find the normalisation of the teacher, and what says it."""
    order = _reads_bgr(data)
    if own is not None:
        if own.mean is None:
            return None, None
        theirs = dict(
            mean=own.mean,
            std=own.std,
            # It wants red, green, blue, and so does the student if its config
            # reverses the colours of data that are not known.
            to_rgb=_swaps(data.preprocessor) if order is None else order,
        )
        return theirs, own.source
    if not teacher.preprocessor and not teacher.cfg.get('train_dataloader'):
        return None, None
    theirs = {
        key: list(teacher.preprocessor[key])
        for key in ('mean', 'std')
        if teacher.preprocessor.get(key) is not None
    }
    orders = {order, _reads_bgr(teacher)} - {None}
    theirs['to_rgb'] = _swaps(teacher.preprocessor) != (len(orders) > 1)
    return theirs, teacher.path


def _find_size(
    teacher: SourceConfig, own: Optional[PretrainedImages], network: nn.Module
) -> Optional[tuple[int, int]]:
    """Find the size of the images of a teacher."""
    if own is not None:
        return own.size
    shape = find_image_shape(teacher.cfg, EVALUATION)
    return find_built_size(network) if shape is None else shape[1:]


def _normalise(
    ours: dict,
    theirs: Optional[dict],
    network: nn.Module,
    image_shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Write the normalisation of the teacher, if it is another one."""
    is_grey = image_shape[0] == 1
    channels = _first_channels(network)
    needs_colours = is_grey and channels == 3
    if theirs is None:
        if not needs_colours:
            return {}
        theirs = {key: ours[key] for key in ('mean', 'std') if ours.get(key)}
    theirs = dict(theirs)
    if needs_colours:
        for key, default in (('mean', 0.0), ('std', 1.0)):
            values = theirs.get(key) or [default]
            theirs[key] = list(values) * (3 if len(values) == 1 else 1)
    if is_grey and channels == 1:
        # Of a network of timm whose first layer was summed up.
        for key in theirs.keys() & {'mean', 'std'}:
            theirs[key] = [round(fmean(theirs[key]), 6)]
    if is_grey:
        theirs.pop('to_rgb', None)
        ours = {k: v for k, v in ours.items() if k not in SWAPS}
    if not find_differences(ours, theirs):
        return {}
    return dict(teacher_data_preprocessor=theirs)


def _first_channels(network: nn.Module) -> Optional[int]:
    """Channels of the images that a network takes."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    return None


def _list_sizes(
    data: SourceConfig, image_shape: tuple[int, int, int]
) -> list[Any]:
    """Sizes of the images of the data, in training and evaluation."""
    shapes = [
        find_image_shape(data.cfg),
        find_image_shape(data.cfg, EVALUATION),
    ]
    return [shape[1:] for shape in shapes if shape] or [image_shape[1:]]


def _swaps(preprocessor: dict) -> bool:
    """Whether a data preprocessor reverses the order of the colours."""
    return any(preprocessor.get(key) for key in SWAPS)


def _reads_bgr(source: SourceConfig) -> Optional[bool]:
    """Whether the images of a data set come as blue, green, red.

    None if it is not known.
    """
    return {BGR: True, RGB: False}.get(find_data_colors(source.cfg) or '')
