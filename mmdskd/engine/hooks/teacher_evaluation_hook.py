"""Evaluate the teacher before training."""

import math
from typing import Any, ClassVar, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner, autocast
from torch import nn

from mmdskd.engine.distillation_parts import get_num_classes
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.rules import FLAG, optional
from mmdskd.utils.values import check_values

from ..checks.run_check import check_by_hook


@HOOKS.register_module()
class TeacherEvaluationHook(Hook):
    """Evaluate the teacher once on the validation set, before training.

    A teacher that is no better than chance, because its weights are another
    network's or its images are normalised in another way, costs a whole
    training. This hook tells it before: by a warning, if a top-1 accuracy is
    not above that of guessing by more than three standard deviations.

    The metrics go to the log, and as ``teacher/accuracy/top1`` and so on to
    the visualizer's backends, at step 0. They are not those of a validation:
    no other hook sees them, so ``save_best`` can't take them for the
    student's. A resumed run does not repeat it, nor does any validation run
    the teacher, as MMRazor's ``SingleTeacherDistillValLoop`` does.

    Args:
        enabled (bool, optional): Whether to evaluate the teacher. None
            follows the variable ``evaluate_teacher`` of the config, which is
            True where there is none. Defaults to None.

    Examples:
        >>> custom_hooks = [dict(type='mmdskd.TeacherEvaluationHook')]
        >>> evaluate_teacher = False  # switches it off, in any config
    """

    #: What the arguments should be.
    VALUES: ClassVar[dict[str, Any]] = dict(enabled=optional(FLAG))

    def __init__(self, enabled: Optional[bool] = None) -> None:
        check_values(
            'TeacherEvaluationHook', self.VALUES, dict(enabled=enabled)
        )
        self.enabled = enabled

    def before_train(self, runner: Runner) -> None:
        """Evaluate the teacher, unless the run is resumed.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            TypeError: If the model has no ``teacher``.
            ValueError: If the teacher is not that of the resumed run.
        """
        model = unwrap_model(runner.model)
        teacher = getattr(model, 'teacher', None)
        if not isinstance(teacher, nn.Module):
            raise TypeError(
                'TeacherEvaluationHook should serve an algorithm that has a '
                f'"teacher", but got {type(model).__name__}: remove the hook'
            )
        check_teacher = getattr(model, 'check_teacher', None)
        if check_teacher is not None:
            check_teacher()
        check_by_hook(runner)
        enabled = self.enabled
        if enabled is None:
            enabled = runner.cfg.get('evaluate_teacher', True)
        if not enabled or runner.iter > 0 or runner.val_loop is None:
            return
        # A data loader draws a seed, which the student would draw otherwise.
        with torch.random.fork_rng(devices=[]):
            metrics = self._evaluate(runner, model, teacher)
        runner.logger.info(
            'Teacher: '
            + '  '.join(
                f'{name}: {value:.4f}' for name, value in metrics.items()
            )
        )
        runner.visualizer.add_scalars(
            {f'teacher/{name}': value for name, value in metrics.items()},
            step=0,
        )
        top1 = next(
            (
                value
                for name, value in metrics.items()
                if name.endswith('accuracy/top1')
            ),
            None,
        )
        num_classes = get_num_classes(teacher)
        if top1 is None or num_classes is None:
            return
        num_images = len(runner.val_loop.dataloader.dataset)
        if top1 <= chance_level(num_classes, num_images):
            runner.logger.warning(
                f'THE TEACHER KNOWS NOTHING: its top-1 accuracy of '
                f'{top1:.2f} % on {num_images} images is what guessing among '
                f'{num_classes} classes gives. What it teaches is noise. See '
                'whether teacher_ckpt is set, is of this data set, and was '
                'trained with the same data_preprocessor.'
            )

    @staticmethod
    @torch.no_grad()
    def _evaluate(
        runner: Runner, model: BaseModel, teacher: nn.Module
    ) -> dict[str, float]:
        """Run the teacher over the validation set.

        Returns:
            dict[str, float]: The numbers among the metrics.
        """
        loop = runner.val_loop
        was_training = teacher.training
        teacher.eval()
        for batch in loop.dataloader:
            data = model.data_preprocessor(batch, False)
            with autocast(enabled=getattr(loop, 'fp16', False)):
                outputs = teacher(**data, mode='predict')
            loop.evaluator.process(data_samples=outputs, data_batch=batch)
        teacher.train(was_training)
        metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        return {
            name: value
            for name, value in metrics.items()
            if isinstance(value, (int, float))
        }


def chance_level(num_classes: int, num_images: int) -> float:
    """Compute the top-1 accuracy that guessing hardly exceeds.

    Args:
        num_classes (int): Number of classes, all as frequent.
        num_images (int): Number of images.

    Returns:
        float: Mean of a guess plus three standard deviations of it over the
        images, in percent.
    """
    mean = 1 / num_classes
    return 100 * (mean + 3 * math.sqrt(mean * (1 - mean) / num_images))
