"""What a user should know of a config that is made from two others."""

import os.path as osp
from collections.abc import Iterator
from typing import Any, Optional

from mmdskd.models.utils.teacher_preprocessor import as_size
from mmdskd.utils.config import type_name
from mmdskd.utils.preprocessing import find_differences
from mmdskd.utils.text import shorten

from .branch_plan import BranchPlan
from .image_shape import find_image_shape
from .inherited import list_unused
from .own_weights import describe_weights, find_weights
from .source_config import SourceConfig
from .teacher_checkpoint import trained_checkpoint
from .teacher_images import TeacherImages

# What tells two data sets apart; pipelines and modes do not.
DATASET_KEYS = ('type', 'data_root', 'ann_file', 'data_prefix', 'split')


def list_notes(
    student: SourceConfig,
    teacher: SourceConfig,
    data: SourceConfig,
    image_shape: tuple[int, int, int],
    teacher_ckpt: Optional[str],
    plan: BranchPlan,
    teacher_images: TeacherImages,
) -> list[str]:
    """List what does not fit, or is not used.

    Args:
        student (SourceConfig): The student.
        teacher (SourceConfig): The teacher.
        data (SourceConfig): That of the two whose data are used.
        image_shape (tuple[int, int, int]): Channels, height and width of the
            images for which the config is made.
        teacher_ckpt (str, optional): Checkpoint of the teacher.
        plan (BranchPlan): Where the branches attach.
        teacher_images (TeacherImages): What prepares the images for the
            teacher.

    Returns:
        list[str]: The notes.
    """
    return [
        *_compare_normalisation(student, data),
        *_describe_teacher_images(teacher, data, image_shape, teacher_images),
        *_compare_shape(data, image_shape),
        *_compare_datasets(student, teacher),
        *_describe_student_weights(student),
        *_describe_teacher_weights(teacher, teacher_ckpt),
        *_describe_base(student, data),
        *_check_custom_keys(data),
        *_check_grid(plan.target.grid),
        *_list_frozen(plan),
    ]


def _compare_normalisation(
    student: SourceConfig, data: SourceConfig
) -> Iterator[str]:
    """Tell if the student gets other images than in its own training."""
    found = find_differences(data.preprocessor, student.preprocessor)
    if student.preprocessor and found:
        yield (
            f'the student gets the images of {data.name}, which are '
            'normalised in another way than those of its own config: '
            + ', '.join(f'{key} {ours}, not {own}' for key, ours, own in found)
            + (
                '. As it starts from weights, set data_preprocessor to what '
                'they were trained with'
                if describe_weights(student.cfg.model)
                else ''
            )
        )


def _describe_teacher_images(
    teacher: SourceConfig,
    data: SourceConfig,
    image_shape: tuple[int, int, int],
    teacher_images: TeacherImages,
) -> Iterator[str]:
    """Tell how the images are prepared for the teacher."""
    options = teacher_images.options
    theirs = options.get('teacher_data_preprocessor')
    if theirs is not None:
        values = ', '.join(f'{key} {value}' for key, value in theirs.items())
        yield (
            f'the teacher gets the images of {data.name} as it was trained on '
            f'them, by teacher_data_preprocessor: {values or "raw pixels"} '
            f'({teacher_images.source or "three channels of one"})'
        )
    elif teacher_images.source is None:
        yield (
            f'nothing says how the images of {teacher.name} were normalised: '
            f'it gets them as those of {data.name}. Set '
            'model.teacher_data_preprocessor=dict(mean=[...], std=[...], '
            'to_rgb=...) if it was trained on others'
        )
    size = options.get('teacher_input_size')
    if size is not None:
        height, width = as_size(size) or (0, 0)
        yield (
            f'the teacher gets images of {height}x{width}, resized from '
            f'{image_shape[1]}x{image_shape[2]} (teacher_input_size): its '
            'step costs as much as on its own images. --teacher-input-size '
            'N sets another size, and "data" that of the student'
        )


def _compare_shape(
    data: SourceConfig, image_shape: tuple[int, int, int]
) -> Iterator[str]:
    shape = find_image_shape(data.cfg)
    if shape not in (None, image_shape):
        yield (
            f'the data of {data.path} have the shape {shape}, not '
            f'{image_shape}, for which this config is: change their crop and '
            'resize'
        )


def _compare_datasets(
    student: SourceConfig, teacher: SourceConfig
) -> Iterator[str]:
    """Compare the data sets that both were made for, if both tell."""
    if student.path == teacher.path:
        yield (
            f'student and teacher are both {student.path}: the teacher '
            'teaches a network of its own kind'
        )
    ours, theirs = (_innermost_dataset(s.cfg) for s in (student, teacher))
    if not ours or not theirs or ours == theirs:
        return
    yield (
        f'{student.name} is trained on {ours} and {teacher.name} on {theirs}: '
        'the classes must be the same ones in the same order, as logits are '
        'compared by their index'
    )


def _innermost_dataset(cfg: Any) -> dict:
    """Type and place of the training data, within their wrappers."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while isinstance(dataset, dict) and isinstance(
        dataset.get('dataset'), dict
    ):
        dataset = dataset['dataset']
    if not isinstance(dataset, dict):
        return {}
    found = {key: dataset[key] for key in DATASET_KEYS if dataset.get(key)}
    # The scope in front of a type is the way to it, not another data set.
    return dict(found, type=type_name(dataset)) if found else {}


def _describe_student_weights(student: SourceConfig) -> Iterator[str]:
    weights = describe_weights(student.cfg.model)
    if weights:
        yield (
            f'the student starts from its own weights, {weights}; the trial '
            'did without them'
        )
    for path, checkpoint in find_weights(student.cfg.model):
        if _is_missing(checkpoint):
            yield (
                f'{path.replace("model", "student", 1)} names {checkpoint}, '
                'but there is no such file yet'
            )


def _describe_teacher_weights(
    teacher: SourceConfig, teacher_ckpt: Optional[str]
) -> Iterator[str]:
    weights = describe_weights(teacher.cfg.model)
    own = dict(find_weights(teacher.cfg.model)).values()
    if teacher_ckpt is None or teacher_ckpt in own:
        yield (
            f'the teacher brings its own weights, {weights}: if it was '
            'trained from them on these data, name the result by '
            '--teacher-ckpt'
        )
    elif weights:
        yield (
            f'teacher_ckpt replaces what the teacher starts from, {weights}'
        )
    if teacher_ckpt is not None and _is_missing(teacher_ckpt):
        train = (
            f'train it by tools/train.py {teacher.path}, or '
            if teacher_ckpt == trained_checkpoint(teacher)
            else ''
        )
        yield (
            f'the checkpoint of the teacher, {teacher_ckpt}, is not there '
            f'yet: {train}name another one in teacher_ckpt'
        )


def _is_missing(checkpoint: Any) -> bool:
    """Whether what is named is a file that is not there."""
    return (
        isinstance(checkpoint, str)
        and '://' not in checkpoint
        and not osp.isfile(checkpoint)
    )


def _describe_base(student: SourceConfig, data: SourceConfig) -> Iterator[str]:
    """Tell what is not taken over."""
    if data is not student:
        unused = list_unused(student, data)
        if unused:
            yield (
                f'data, schedule and hooks are those of {data.path}; these '
                f'of {student.path} are not used: {", ".join(unused)}'
            )
    if data.cfg.get('work_dir'):
        yield (
            f'work_dir={data.cfg.work_dir!r} of {data.path} is that of '
            'another run, so this config has its own'
        )
    if data.cfg.get('resume'):
        yield (
            f'resume={data.cfg.resume!r} of {data.path} is for that run, so '
            'this config sets it to False'
        )


def _check_custom_keys(data: SourceConfig) -> Iterator[str]:
    """Tell which settings by names of parameters mean the heads, too."""
    wrapper = data.cfg.get('optim_wrapper') or {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    for key, value in keys.items():
        if key in 'distiller.connectors.heads.heads.classifier':
            yield (
                f'optim_wrapper.paramwise_cfg.custom_keys of {data.path}: '
                f'{key!r} means the heads of the branches, too '
                f'(distiller.connectors.heads), which get {dict(value)}; '
                f"write 'architecture.{key}' to spare them"
            )


def _check_grid(grid: tuple[int, int]) -> Iterator[str]:
    """Tell what batch norms of single positions need."""
    if grid == (1, 1):
        yield (
            'the feature of the teacher is 1x1, so a batch norm of the heads '
            'gets one value per image and channel: set '
            'train_dataloader.drop_last=True if the last batch may have one '
            'image, or take larger images or another --teacher-feature'
        )


def _list_frozen(plan: BranchPlan) -> Iterator[str]:
    """Tell which layers get no head because they are frozen."""
    frozen = [
        feature.name
        for feature in plan.student.layers
        if feature.num_layers > 1 and feature.name in plan.frozen
    ]
    if frozen:
        yield (
            'these layers of the student are frozen, so they get no head, '
            f'which would teach nothing: {shorten(frozen)}'
        )
