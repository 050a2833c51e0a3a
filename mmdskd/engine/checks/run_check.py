"""Check a run that is built, before it trains."""

from typing import Any, Optional
from weakref import WeakKeyDictionary, WeakSet

from mmengine.runner import Runner

from mmdskd.utils.model import unwrap_model

from .augmentation_check import check_augmentation
from .data_check import check_images, check_loaders, check_preprocessor
from .distillation_check import check_distillation, check_distillation_once
from .guard_check import check_guards
from .image_size_check import check_image_size
from .label_check import Classes, check_labels
from .mapping_values import check_mapping_values
from .missing_parts_check import check_hooks
from .multi_label_check import check_multi_label
from .optimizer_check import check_custom_keys
from .pretrained_check import check_pretrained
from .ranks_check import check_ranks
from .score_check import check_directions, check_scores
from .single_image_check import check_single_image
from .teacher_check import check_teachers, load_whole_teacher

_begun: 'WeakSet[Runner]' = WeakSet()
_built: 'WeakSet[Runner]' = WeakSet()
_checked: 'WeakKeyDictionary[Runner, Optional[Classes]]' = WeakKeyDictionary()


def check_run(runner: Runner) -> None:
    """Check the model and the data of a run, once, before it trains.

    Our ``tools/train.py`` calls it before anything of the training is done,
    :class:`~mmdskd.engine.hooks.RunCheckHook` before the weights are
    initialised.

    Args:
        runner (Runner): The runner of the training process.

    Raises:
        FileNotFoundError: If weights that the student starts from are missing.
        ValueError: See the checks that are called here.
    """
    if runner in _begun:
        return
    model = unwrap_model(runner.model)
    load_whole_teacher(runner)
    check_multi_label(model)
    check_distillation(model)
    _check_built(runner)
    check_pretrained(runner)
    _begun.add(runner)


def _check_built(runner: Runner) -> None:
    """Check what needs no weights, once.

    If possible, before the schedulers, which count iterations of an epoch.
    """
    if runner not in _built:
        check_hooks(runner)
        check_guards(runner)
        check_loaders(runner)
        check_single_image(runner)
        check_multi_label(unwrap_model(runner.model))
        check_augmentation(runner)
        check_custom_keys(runner)
        _built.add(runner)


def check_before_training(runner: Runner) -> Optional[Classes]:
    """Check a run whose weights are loaded, once.

    It takes some images from the data sets, and runs the distillation on
    them. Nothing is changed, random numbers included.

    Args:
        runner (Runner): The runner, before the first iteration.

    Returns:
        Classes, optional: What the labels of each batch should be checked
        against, as not all could be read.

    Raises:
        ValueError: See the checks that are called here.
    """
    if runner not in _checked:
        check_distillation_once(unwrap_model(runner.model))
        _check_built(runner)
        check_preprocessor(runner)
        check_scores(runner)
        check_directions(runner)
        check_ranks(runner)
        check_teachers(runner)
        classes = check_labels(runner)
        check_images(runner)
        check_image_size(runner)
        check_mapping_values(runner)
        _checked[runner] = classes
    return _checked[runner]


def check_by_hook(runner: Any) -> Optional[Classes]:
    """Check what a hook serves, where no :class:`RunCheckHook` has done it.

    Args:
        runner (Runner): The runner, before the first iteration. Of another
            one than MMEngine's ``Runner``, the model alone is checked.

    Returns:
        Classes, optional: See :func:`check_before_training`.

    Raises:
        ValueError: See :func:`check_before_training`.
    """
    if isinstance(runner, Runner):
        return check_before_training(runner)
    check_distillation_once(unwrap_model(runner.model))
    return None
