"""Where the branches of a DSKD config attach, and what their heads cost."""

import warnings
from typing import NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor, nn

from mmdskd.analysis.flops import count_flops
from mmdskd.models import DSKDConnector, DSKDLoss
from mmdskd.utils.config import without_teacher_weights

from .auto import resolve_auto
from .head_cost import count_student

HEADER = (
    'config',
    'branches',
    "teacher's feature",
    'head parameters',
    'head FLOPs',
    "of the student's FLOPs",
)


class Branches(NamedTuple):
    """The branches of one DSKD loss.

    Attributes:
        sources (list[str]): Names of the student's modules.
        feats (list[Tensor]): Their outputs for one image, as maps
            (1, C_l, H_l, W_l).
        feat_T (Tensor, optional): The teacher's feature, (1, C, H, W), or
            None if the loss gets none.
        heads (nn.ModuleList): The heads.
    """

    sources: list[str]
    feats: list[Tensor]
    feat_T: Optional[Tensor]
    heads: nn.ModuleList


def describe_branches(
    name: str, cfg: Config, image_shape: tuple[int, int, int]
) -> list[tuple[str, ...]]:
    """Describe the branches of a config.

    Args:
        name (str): Name of the config in the table.
        cfg (Config): The config. Its "auto" are filled in.
        image_shape (tuple[int, int, int]): Channels, height and width of an
            image.

    Returns:
        list[tuple[str]]: One row per DSKD loss, see :data:`HEADER`. The
        teacher's feature is "-" if the loss gets none, and the share of the
        FLOPs "?" if the student can't be traced.

    Raises:
        ValueError: If the config has no DSKD loss, the branches of one do not
            come from a DSKDConnector, or its networks take no image of this
            shape.
    """
    if 'model' not in cfg:
        raise ValueError(f'{name} should have a model, but has none.')
    algorithm = _build_algorithm(cfg, image_shape)
    try:
        found = find_branches(algorithm, torch.zeros(1, *image_shape))
    except RuntimeError as error:
        raise ValueError(
            f'The shape of an image should be one that the networks of {name} '
            f'take, but {image_shape} does not fit: {error}'
        ) from error
    if not found:
        raise ValueError(
            f'{name} should have a mmdskd.DSKDLoss in '
            'model.distiller.distill_losses, but has none.'
        )
    student_flops = count_student(algorithm.architecture, image_shape)
    return [_make_row(name, branches, student_flops) for branches in found]


@torch.no_grad()
def find_branches(algorithm: BaseModel, image: Tensor) -> list[Branches]:
    """Run student and teacher on an image, and look at what is recorded.

    Without a teacher, as in ``mmrazor.SelfDistill``, the student runs alone:
    the recorders of the teacher are then on its modules.

    Args:
        algorithm (BaseModel): The algorithm, or a plain network.
        image (Tensor): The image, (1, C, H, W).

    Returns:
        list[Branches]: Those of each DSKD loss.

    Raises:
        ValueError: If branches do not come from a DSKDConnector.
        RuntimeError: If a network does not take the image.
    """
    distiller = getattr(algorithm, 'distiller', None)
    if not isinstance(distiller, ConfigurableDistiller):
        return []
    losses = [
        name
        for name, loss in distiller.distill_losses.items()
        if isinstance(loss, DSKDLoss)
    ]
    teacher = getattr(algorithm, 'teacher', None)
    with distiller.student_recorders, distiller.teacher_recorders:
        algorithm.architecture(image)
        if teacher is not None:
            teacher(image)
    return [_find_branches_of(distiller, name) for name in losses]


def _find_branches_of(distiller: ConfigurableDistiller, loss: str) -> Branches:
    """Get the recorded branches of one loss."""
    mapping = distiller.loss_forward_mappings[loss]
    record = mapping['branches']
    connector = record.get('connector')
    heads = distiller.connectors[connector] if connector else None
    if not isinstance(heads, DSKDConnector):
        raise ValueError(
            f'loss_forward_mappings of {loss}: branches should come from a '
            f'connector of type mmdskd.DSKDConnector, but {connector!r} is a '
            f'{type(heads).__name__}'
        )
    recorder = distiller.student_recorders.get_recorder(record['recorder'])
    feats = [
        layout.to_map(feat)
        for layout, feat in zip(heads.layouts, recorder.get_record_data())
    ]
    feat_T = (
        distiller.get_record(**mapping['feat_T'])
        if 'feat_T' in mapping
        else None
    )
    return Branches(list(recorder.sources), feats, feat_T, heads.heads)


def _build_algorithm(
    cfg: Config, image_shape: tuple[int, int, int]
) -> BaseModel:
    """Build the algorithm in eval mode, without the teacher's weights."""
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    cfg = without_teacher_weights(resolve_auto(cfg, image_shape))
    with warnings.catch_warnings():
        # A teacher of random weights teaches nothing, but has its shapes.
        warnings.simplefilter('ignore')
        algorithm = MODELS.build(cfg.model)
    algorithm.eval()  # which MMRazor's algorithms do not return
    return algorithm


def _make_row(
    name: str, branches: Branches, student_flops: Optional[int]
) -> tuple[str, ...]:
    """Make a row of the table."""
    where = [
        f'`{source}` {_format_shape(feat)}'
        for source, feat in zip(branches.sources, branches.feats)
    ]
    parameters = sum(p.numel() for p in branches.heads.parameters())
    flops = sum(map(count_flops, branches.heads, branches.feats))
    feat_T = branches.feat_T
    return (
        f'`{name}`',
        ', '.join(where),
        '-' if feat_T is None else _format_shape(feat_T),
        f'{parameters:,}',
        f'{flops / 1e6:,.1f} M',
        f'{flops / student_flops:.0%}' if student_flops else '?',
    )


def _format_shape(feat: Tensor) -> str:
    """Write the shape of a map (1, C, H, W) as "CxHxW"."""
    return 'x'.join(map(str, feat.shape[1:]))
