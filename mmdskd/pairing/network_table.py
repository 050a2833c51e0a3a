"""What DSKD finds in networks of other libraries, in both roles."""

import os.path as osp
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS

from .algorithm_config import make_algorithm
from .branch_plan import BranchPlan, infer_branches
from .dry_run import try_training
from .feature import Feature
from .logits import find_logits

HEADER = (
    'family',
    'network',
    'image',
    'branches as student',
    'feature as teacher',
)
NUM_CLASSES = 10
# The other one of a pair: a ResNet18 of MMPretrain, of few channels.
PARTNER = dict(
    type='ImageClassifier',
    _scope_='mmpretrain',
    backbone=dict(
        type='ResNet', depth=18, stem_channels=8, base_channels=8, num_stages=4
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=NUM_CLASSES, in_channels=64),
)


class OtherNetwork(NamedTuple):
    """A network of another library.

    Attributes:
        family (str): What its authors call it.
        name (str): Its name in timm or torchvision, or the ``model_type`` of
            transformers.
        size (int): Height and width of the images.
        options (dict): Other arguments.
    """

    family: str
    name: str
    size: int = 64
    options: Optional[dict[str, Any]] = None

    def make_config(self, library: str, folder: str) -> dict[str, Any]:
        """Make its config.

        Args:
            library (str): "timm", "torchvision" or "transformers".
            folder (str): Folder for the config of transformers, as there is
                no hub.

        Returns:
            dict: ``model`` of a config.
        """
        options = self.options or {}
        model: dict[str, Any] = dict(_scope_='mmpretrain')
        if library == 'timm':
            model.update(type='TimmClassifier', num_classes=NUM_CLASSES)
        elif library == 'torchvision':
            model.update(
                type='mmdskd.TorchvisionClassifier', num_classes=NUM_CLASSES
            )
        else:
            from transformers import AutoConfig

            path = osp.join(folder, self.name)
            config = AutoConfig.for_model(
                self.name, num_labels=NUM_CLASSES, **options
            )
            config.save_pretrained(path)
            return dict(model, type='HuggingFaceClassifier', model_name=path)
        return dict(model, model_name=self.name, **options)


class BothRoles(NamedTuple):
    """What is found in a network, or why it is refused.

    Attributes:
        student (BranchPlan or str): It with the partner as teacher.
        teacher (BranchPlan or str): It with the partner as student.
    """

    student: Union[BranchPlan, str]
    teacher: Union[BranchPlan, str]

    def to_row(self, network: OtherNetwork) -> tuple[str, ...]:
        """Describe it in a row of a table.

        Args:
            network (OtherNetwork): The network.

        Returns:
            tuple[str]: The row, see :data:`HEADER`.
        """
        return (
            network.family,
            f'`{network.name}`',
            str(network.size),
            self.student
            if isinstance(self.student, str)
            else _describe(self.student.branches),
            self.teacher
            if isinstance(self.teacher, str)
            else _describe([self.teacher.target]),
        )


def look_at(
    network: OtherNetwork, library: str, folder: str, train: bool = False
) -> BothRoles:
    """Find where DSKD attaches to a network, as student and as teacher.

    Args:
        network (OtherNetwork): The network.
        library (str): See :meth:`OtherNetwork.make_config`.
        folder (str): The same.
        train (bool): Whether both pairs are trained for two iterations on
            random images. Defaults to False.

    Returns:
        BothRoles: What is found.
    """
    model = network.make_config(library, folder)
    shape = (3, network.size, network.size)
    found: list[Union[BranchPlan, str]] = []
    for student, teacher in ((model, PARTNER), (PARTNER, model)):
        try:
            plan = infer_branches(
                MODELS.build(ConfigDict(student)),
                MODELS.build(ConfigDict(teacher)),
                shape,
            )
            if train:
                _train(plan, student, teacher, shape)
            found.append(plan)
        except (RuntimeError, ValueError) as error:
            found.append(f'refused: {str(error).partition(":")[0]}')
    return BothRoles(*found)


def _train(
    plan: BranchPlan, student: dict, teacher: dict, shape: tuple[int, int, int]
) -> None:
    """Train a pair for two iterations."""
    algorithm = make_algorithm(
        plan,
        student,
        teacher,
        None,
        student_logits=find_logits(plan.student, None, '--student-logits'),
        teacher_logits=find_logits(plan.teacher, None, '--teacher-logits'),
    )
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=algorithm,
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor',
                mean=[127.5] * 3,
                std=[127.5] * 3,
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        )
    )
    try_training(cfg, shape, NUM_CLASSES)


def _describe(features: Sequence[Feature]) -> str:
    return ', '.join(f'`{f.name}` {f.shape}' for f in features)
