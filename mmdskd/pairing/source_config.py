"""The configs that a student and a teacher come from."""

import difflib
import os.path as osp
from typing import NamedTuple, Optional

from mmengine.config import Config
from mmpretrain import list_models
from mmpretrain.apis.model import ModelHub

from mmdskd.utils.config import load_config
from mmdskd.utils.text import shorten

from .image_shape import find_image_shape
from .source_check import check_classifier


class SourceConfig(NamedTuple):
    """The config of a plain classifier, to be a student or teacher.

    Attributes:
        name (str): Its name.
        path (str): Config that another one can have as its ``_base_``: a
            file, or ``package::path``.
        cfg (Config): The config.
        checkpoint (str, optional): Published weights, if they are known.
    """

    name: str
    path: str
    cfg: Config
    checkpoint: Optional[str] = None

    @property
    def scope(self) -> str:
        """str: Scope in which its model is built."""
        # Those of MMPretrain without data leave it out.
        package = (
            'mmpretrain'
            if self.path.startswith('mmpretrain::')
            else 'mmengine'
        )
        return self.cfg.get('default_scope') or package

    @property
    def preprocessor(self) -> dict:
        """dict: Its data preprocessor: that of the model goes first."""
        return (
            self.cfg.model.get('data_preprocessor')
            or self.cfg.get('data_preprocessor')
            or {}
        )


def load_source_config(name: str) -> SourceConfig:
    """Find the config of a student or teacher.

    Args:
        name (str): A config file, ``package::path``, such as
            "mmpretrain::resnet/resnet18_8xb32_in1k.py", or a name that
            MMPretrain knows, such as "resnet18_8xb32_in1k".

    Returns:
        SourceConfig: Its config.

    Raises:
        ValueError: If it is none of these, or not the config of a plain
            image classifier with types as strings.
    """
    if '::' in name or name.endswith('.py') or osp.isfile(name):
        stem = osp.splitext(osp.basename(name))[0]
        source = SourceConfig(stem, name, load_config(name))
        # Its metafile names most models of MMPretrain as their files.
        if name.startswith('mmpretrain::') and stem in list_models():
            source = source._replace(checkpoint=ModelHub.get(stem).weights)
    else:
        names = list_models()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.3)
            raise ValueError(
                'Student and teacher should each be a config file, '
                '"package::path", or a name of mmpretrain.list_models(), but '
                f'{name!r} is none of them'
                + (f'; did you mean {shorten(near)}?' if near else '')
            )
        model = ModelHub.get(name)
        # Where MMEngine finds configs of the package. Windows has backslashes.
        file = model.config.filename.replace('\\', '/')
        folder, _, path = file.rpartition('/.mim/configs/')
        path = f'{osp.basename(folder)}::{path}'
        source = SourceConfig(name, path, model.config, model.weights)
    model = source.cfg.get('model')
    if (
        not isinstance(model, dict)
        or 'type' not in model
        or ('architecture' in model)
    ):
        raise ValueError(
            f'{name} should be the config of a plain classifier, but its '
            'model is '
            + (
                'an algorithm with a student and perhaps a '
                'teacher: name the config of one of these'
                if isinstance(model, dict) and 'architecture' in model
                else f'{model}'
            )
        )
    if not isinstance(model['type'], str):
        raise ValueError(
            f'{name} should name types by strings, as the config that is '
            'written does, but it is a pure-Python config, which MMEngine '
            'takes for the _base_ of pure-Python ones only: use '
            'mmdskd.utils.infer_branches, or in_channels="auto"'
        )
    check_classifier(name, model, source.scope)
    return source


def choose_data(
    student: SourceConfig,
    teacher: SourceConfig,
    dataset_from: Optional[str] = None,
) -> SourceConfig:
    """Choose the config from which data, schedule and the rest are taken.

    Args:
        student (SourceConfig): The student.
        teacher (SourceConfig): The teacher.
        dataset_from (str, optional): "student", "teacher", or None for the
            student if both see images of one shape. Defaults to None.

    Returns:
        SourceConfig: One of them.

    Raises:
        ValueError: If it has no data, or the shapes differ and there is no
            choice.
    """
    sources = dict(student=student, teacher=teacher)
    if dataset_from is None:
        shapes = [find_image_shape(source.cfg) for source in sources.values()]
        if None not in shapes and shapes[0] != shapes[1]:
            raise ValueError(
                'Student and teacher should see the same images, but '
                f'{student.name} is trained on images of shape {shapes[0]} '
                f'and {teacher.name} on {shapes[1]}: choose by '
                '--dataset-from student (the images are resized for the '
                'teacher) or --dataset-from teacher'
            )
        dataset_from = 'student'
    chosen = sources[dataset_from]
    if chosen.cfg.get('train_dataloader') is None:
        raise ValueError(
            f'{chosen.path} should have the data to train on '
            '(train_dataloader), but it has none: choose the other one by '
            '--dataset-from'
        )
    return chosen
