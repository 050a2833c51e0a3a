"""Fill in the shapes that a config of DSKD leaves out."""

from collections.abc import Iterator
from typing import Any, Optional

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from mmdskd.export.plain_model import make_plain_model
from mmdskd.models import DSKDConnector, DSKDLoss, FeatureMapConnector
from mmdskd.models.utils.teacher_preprocessor import find_teacher_shape
from mmdskd.utils.config import AUTO, is_type, type_name

from .branch_plan import connector_arguments
from .feature import Feature
from .image_shape import find_image_shape
from .network_outline import NetworkOutline


def resolve_auto(
    cfg: Config, image_shape: Optional[tuple[int, int, int]] = None
) -> Config:
    """Find the shapes that a config leaves out, by a dry run.

    These are, in ``model.distiller``, ``in_channels="auto"`` of a
    :class:`~mmdskd.models.DSKDConnector`, with which all of its arguments but
    ``head`` that are not given are found; ``layout="auto"`` of a
    :class:`~mmdskd.models.FeatureMapConnector`; and ``num_branches`` of a
    :class:`~mmdskd.models.DSKDLoss` that is "auto", None or not given.

    Student and teacher are built on the CPU, without weights, and run once.
    The number of branches is that of the recorded modules, so it alone needs
    no run. Our tools call this function; in a script of your own, call it
    before ``Runner.from_cfg(cfg)``.

    Args:
        cfg (Config): Config of a training. It is changed in place.
        image_shape (tuple[int, int, int], optional): Channels, height and
            width of the images that the networks get. None takes them from
            the data of the config. Defaults to None.

    Returns:
        Config: ``cfg``.

    Raises:
        KeyError: If a source is not a module.
        ValueError: If the shape of the images is not known, a module gives no
            feature, or an "auto" can't be found where it is.

    Examples::

        cfg = Config.fromfile('my_config.py')
        runner = Runner.from_cfg(resolve_auto(cfg))
    """
    model = cfg.get('model')
    distiller = model.get('distiller') if isinstance(model, dict) else None
    if not distiller:
        return cfg
    _count_branches(distiller)
    if not any(_unresolved(distiller)):
        return cfg
    image_shape = image_shape or find_image_shape(cfg)
    if image_shape is None:
        raise ValueError(
            'The shape of the images is needed for "auto", but no crop, '
            'resize or known data set in the dataloaders tells it: give '
            'image_shape=(channels, height, width) to '
            'mmdskd.utils.resolve_auto, or write in_channels and strides'
        )
    _Resolver(cfg, image_shape).resolve()
    return cfg


class _Resolver:
    """Fills in the "auto" of one config.

    Args:
        cfg (Config): The config.
        image_shape (tuple[int, int, int]): Shape of an image.
    """

    def __init__(self, cfg: Config, image_shape: tuple[int, int, int]) -> None:
        self.distiller = cfg.model.distiller
        scope = (
            cfg.model.get('_scope_') or cfg.get('default_scope') or 'mmengine'
        )
        self.student = NetworkOutline(
            build_plain(cfg.model.architecture, scope),
            image_shape,
            'the student',
        )
        # Without a teacher, the student teaches itself.
        self.teacher = (
            self.student
            if cfg.model.get('teacher') is None
            else NetworkOutline(
                build_plain(cfg.model.teacher, scope),
                find_teacher_shape(cfg.model, image_shape),
                'the teacher',
            )
        )

    def resolve(self) -> None:
        connectors = self.distiller.get('connectors') or {}
        for name, connector in connectors.items():
            if (
                is_type(connector, FeatureMapConnector)
                and connector.get('layout') == AUTO
            ):
                _, record = self._find_use(name)
                connector.layout = self._feature(record).layout.config
        for name, connector in connectors.items():
            if (
                is_type(connector, DSKDConnector)
                and AUTO in connector.values()
            ):
                self._resolve_heads(name, connector)
        left = list(_unresolved(self.distiller))
        if left:
            raise ValueError(
                f'{", ".join(left)}: {AUTO!r} should be in_channels of a '
                'mmdskd.DSKDConnector, num_branches of a mmdskd.DSKDLoss or '
                'layout of a mmdskd.FeatureMapConnector'
            )

    def _resolve_heads(self, name: str, connector: dict) -> None:
        """Fill in the arguments of a connector of heads."""
        loss_name, record = self._find_use(name)
        features = [
            self.student.feature(source)
            for source in _sources(self.distiller, record)
        ]
        loss = self.distiller.distill_losses[loss_name]
        target = self._target(_mapping(self.distiller, loss_name), loss_name)
        found = connector_arguments(features, target, self.teacher.num_classes)
        if not (loss.get('logit_loss') or loss.get('label_loss')):
            found['num_classes'] = None
        for key in [k for k, value in connector.items() if value == AUTO]:
            del connector[key]
        if {'strides', 'out_size'} & set(connector):
            found = {
                key: value
                for key, value in found.items()
                if key not in ('strides', 'out_size')
            }
        # What is given is not touched: a class in a pure-Python config could
        # not be dumped any more, once it is looked up and written back.
        for key, value in found.items():
            connector.setdefault(key, value)

    def _target(self, mapping: dict, loss_name: str) -> Feature:
        """Feature of the teacher that a loss takes."""
        record = mapping.get('feat_T')
        if record is None:
            if self.teacher.last is None:
                raise ValueError(
                    f'loss_forward_mappings of {loss_name} has no feat_T, '
                    'and the last feature of the teacher is not clear: write '
                    'out_channels, and strides or out_size'
                )
            return self.teacher.last
        target = self._feature(record)
        if record.get('data_idx') is not None:
            target = target._replace(in_tuple=False)
        if not target.is_map and 'connector' not in record:
            raise ValueError(
                f'loss_forward_mappings of {loss_name}: feat_T should be a '
                f'map (N, C, H, W), but {target.name!r} gives '
                f'{target.shape}{" in a tuple" if target.in_tuple else ""}: '
                'let it go through a connector, '
                "dict(type='mmdskd.FeatureMapConnector', layout='auto')"
            )
        return target

    def _find_use(self, connector: str) -> tuple[str, dict]:
        """Loss and record that go through a connector."""
        for loss, mapping in self.distiller.get(
            'loss_forward_mappings', {}
        ).items():
            for record in mapping.values():
                if record.get('connector') == connector:
                    return loss, record
        raise ValueError(
            f'connectors: {connector!r} has an {AUTO!r}, which only a loss '
            'that takes something through it can tell, but no record in '
            f'loss_forward_mappings has connector={connector!r}'
        )

    def _feature(self, record: dict) -> Feature:
        """Feature of the module of one output."""
        recorder = _recorder(self.distiller, record)
        if type_name(recorder) != 'ModuleOutputs':
            raise ValueError(
                f'{record["recorder"]!r} should be a ModuleOutputs for '
                f'{AUTO!r}, but is {dict(recorder)}'
            )
        outline = self.student if record['from_student'] else self.teacher
        return outline.feature(recorder['source'])


def build_plain(model: dict, scope: str) -> nn.Module:
    """Build a network on the CPU, without weights.

    Args:
        model (dict): Its config, as an algorithm of MMRazor takes it.
        scope (str): Scope of the algorithm.

    Returns:
        nn.Module: The network.
    """
    return MODELS.build(make_plain_model(model, scope))


def _count_branches(distiller: dict) -> None:
    """Fill in the number of branches of the DSKD losses."""
    for name, loss in (distiller.get('distill_losses') or {}).items():
        if (
            isinstance(loss, dict)
            and loss.get('num_branches') in (None, AUTO)
            and is_type(loss, DSKDLoss)
        ):
            record = _mapping(distiller, name)['branches']
            loss['num_branches'] = len(_sources(distiller, record))


def _mapping(distiller: dict, loss: str) -> dict:
    """What a DSKD loss gets."""
    mappings = distiller.get('loss_forward_mappings') or {}
    if 'branches' not in mappings.get(loss, {}):
        raise ValueError(
            f'loss_forward_mappings of {loss} should give '
            'branches, but it does not'
        )
    return mappings[loss]


def _recorder(distiller: dict, record: dict) -> dict:
    """Config of the recorder of a record."""
    side = 'student' if record['from_student'] else 'teacher'
    recorders = distiller.get(f'{side}_recorders') or {}
    if record['recorder'] not in recorders:
        raise ValueError(
            f'{side}_recorders should have {record["recorder"]!r}, of '
            f'which loss_forward_mappings speak, but has '
            f'{", ".join(recorders) or "none"}'
        )
    return recorders[record['recorder']]


def _sources(distiller: dict, record: dict) -> list[str]:
    """Names of the modules of several outputs."""
    recorder = _recorder(distiller, record)
    if 'sources' not in recorder:
        raise ValueError(
            f'branches should be recorded by mmdskd.MultiModuleOutputs, '
            f'but {record["recorder"]!r} is {dict(recorder)}'
        )
    return list(recorder['sources'])


def _unresolved(distiller: dict) -> Iterator[str]:
    """Names of what is left to be found."""
    for group in ('connectors', 'distill_losses'):
        for name, cfg in (distiller.get(group) or {}).items():
            values: dict[str, Any] = cfg if isinstance(cfg, dict) else {}
            yield from (
                f'{name}.{key}'
                for key, value in values.items()
                if isinstance(value, str) and value == AUTO
            )
