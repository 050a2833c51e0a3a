import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmdskd.datasets import InMemoryDataset


def check_augmentation(runner: Runner) -> None:
    """Check that images from memory are augmented, before they train.

    They are augmented by the data preprocessor, which a model may bring
    itself; then that of the data config is not used.

    Args:
        runner (Runner): The runner. Without a
            :class:`~mmdskd.datasets.InMemoryDataset` for training, there is
            nothing to check. Its data loader is built.

    Raises:
        ValueError: If the images are too small for an augmentation.
    """
    dataset = runner.train_loop.dataloader.dataset
    if not isinstance(dataset, InMemoryDataset):
        return
    model = runner.model
    if is_model_wrapper(model):
        model = model.module
    augments = getattr(model.data_preprocessor, 'augments', None)
    if augments is None:
        runner.logger.warning(
            'The images for training are not augmented: they come from '
            'mmdskd.InMemoryDataset, and the data_preprocessor, a '
            f'{type(model.data_preprocessor).__name__}, has no "augments". '
            'One in the model goes before that of the data config: write '
            'its type as mmdskd.AugmentingDataPreprocessor, with augments, '
            'or take the data config that ends in "_per_image".')
        return
    dataset.full_init()
    image = dataset.images[:1]
    for augment in augments.augments:
        image = augment.augment(image, torch.Generator())
