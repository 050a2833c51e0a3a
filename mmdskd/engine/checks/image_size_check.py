"""Check that a student runs on the size of its images."""

from typing import Any

import torch
from mmengine.runner import Runner

from mmdskd.utils.image_size import advise_size
from mmdskd.utils.model import unwrap_model

from .dry_forward import SIZE, left_as_it_was, read_batch


def check_image_size(runner: Runner) -> None:
    """Run a student that was built for another size on two images.

    Transformers are built for one size; some of them take others. All other
    networks are not run.

    Args:
        runner (Runner): The runner, before the first iteration.

    Raises:
        ValueError: If the student does not run on them.
    """
    model: Any = unwrap_model(runner.model)
    student = getattr(model, 'architecture', None)
    if student is None or not advise_size(student, (0, 0)):
        return
    with left_as_it_was(model):
        images = (read_batch(runner, model, SIZE) or {}).get('inputs')
        if not isinstance(images, torch.Tensor) or images.dim() != 4:
            return
        advice = advise_size(student, images.shape[2:])
        if not advice:
            return
        student.eval()
        try:
            with torch.no_grad():
                student(images, mode='tensor')
        # Whatever it is that does not take such images.
        except Exception as error:
            raise ValueError(
                'model.architecture should run on its images, but those are '
                f'{images.size(2)}x{images.size(3)} ({type(error).__name__}: '
                f'{error}). {advice}'
            ) from error
