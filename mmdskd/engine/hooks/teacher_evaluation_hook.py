"""Evaluate the teacher before training."""

from typing import Any, ClassVar, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner, autocast
from torch import nn

from mmdskd.models.algorithms.student_forward import has_same_classes
from mmdskd.models.utils.num_classes import find_num_classes
from mmdskd.models.utils.teacher_preprocessor import prepare_for_teacher
from mmdskd.registry import HOOKS
from mmdskd.utils.model import unwrap_model
from mmdskd.utils.random_state import keep_random_state
from mmdskd.utils.rules import FLAG, optional
from mmdskd.utils.values import check_values

from ..checks.chance_level import GuessRate, is_chance
from ..checks.run_check import check_by_hook


@HOOKS.register_module()
class TeacherEvaluationHook(Hook):
    """Evaluate the teacher once on the validation set, before training.

    A teacher that is no better than chance, because its weights are another
    network's or its images are normalised in another way, costs a whole
    training. This hook reports it before: by a warning, if guessing explains
    its top-1 accuracy well enough, see
    :func:`~mmdskd.engine.checks.chance_level.is_chance`. A teacher of other
    classes than the student's, whose features alone can teach, is not
    evaluated.

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
        model: Any = unwrap_model(runner.model)
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
        num_classes = find_num_classes(teacher)
        if not has_same_classes(model.architecture, teacher):
            runner.logger.info(
                f'Teacher is not evaluated: it has {num_classes} classes, '
                'which are not those of the student.'
            )
            return
        # A data loader draws a seed, which the student would draw otherwise.
        guesses = None if num_classes is None else GuessRate(num_classes)
        with keep_random_state():
            metrics = self._evaluate(runner, model, teacher, guesses)
        rate = 0.0 if guesses is None else guesses.compute()
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
        if top1 is None or guesses is None:
            return
        num_images = len(runner.val_loop.dataloader.dataset)
        num_right = round(top1 / 100 * num_images)
        if is_chance(num_right, num_images, rate):
            runner.logger.warning(
                f'Teacher is at chance level: top-1 {top1:.1f} % on '
                f'{num_images} images of {guesses.num_classes} classes. Check '
                '`teacher_ckpt`, its data set and its `data_preprocessor`.'
            )

    @staticmethod
    @torch.no_grad()
    def _evaluate(
        runner: Runner,
        model: BaseModel,
        teacher: nn.Module,
        guesses: Optional[GuessRate],
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
                data['inputs'] = prepare_for_teacher(model, data['inputs'])
                outputs = teacher(**data, mode='predict')
            if guesses is not None:
                guesses.add(outputs)
            loop.evaluator.process(data_samples=outputs, data_batch=batch)
        teacher.train(was_training)
        metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        return {
            name: value
            for name, value in metrics.items()
            if isinstance(value, (int, float))
        }
