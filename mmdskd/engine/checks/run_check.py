"""Check a run that is built, before it trains."""

from mmengine.runner import Runner

from mmdskd.utils.model import unwrap_model

from .augmentation_check import check_augmentation
from .distillation_check import check_distillation


def check_run(runner: Runner) -> None:
    """Check the model and the data of a run, before it trains.

    Args:
        runner (Runner): The runner of the training process.

    Raises:
        ValueError: See the checks that are called here.
    """
    check_distillation(unwrap_model(runner.model))
    check_augmentation(runner)
