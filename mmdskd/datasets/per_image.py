"""From data as whole batches to MMPretrain's pipelines, image by image."""

from typing import Any, Optional

from mmdskd.registry import BATCH_AUGMENTS
from mmdskd.utils.config import is_named

# Their configs, beside those that they have from MMPretrain
PREPROCESSOR_KEYS = ('augments', 'seed')
PREPROCESSOR = 'mmdskd.AugmentingDataPreprocessor'
DATASET = 'mmdskd.InMemoryDataset'
COLLATE = 'mmdskd.collate_batch'


def unwrap_dataloader(dataloader: Any) -> Any:
    """Let a data loader run the pipeline whenever it reads an image.

    Args:
        dataloader (Any): Config of the data loader.

    Returns:
        Any: Config of one whose data set is not kept in memory, or
        ``dataloader``, if it is another.
    """
    if not (
        isinstance(dataloader, dict)
        and is_named(dataloader.get('dataset'), DATASET)
    ):
        return dataloader
    plain = dict(dataloader, dataset=dataloader['dataset']['dataset'])
    if is_named(plain.get('collate_fn'), COLLATE):
        plain['collate_fn'] = dict(type='default_collate')
    return plain


def make_per_image(
    preprocessor: dict, train_dataloader: Any
) -> Optional[tuple[dict, Any]]:
    """Let the pipeline augment the images, and not the data preprocessor.

    It is the same distribution, and there is nothing of mmdskd in it, unless
    the data set is.

    Args:
        preprocessor (dict): Config of a data preprocessor.
        train_dataloader (Any): Config of the data loader for training, or
            None.

    Returns:
        tuple[dict, Any] or None: Both, with MMPretrain's preprocessor. None
        if ``preprocessor`` is not mmdskd's, or an augmentation can't be done
        to a single image.
    """
    if not is_named(preprocessor, PREPROCESSOR):
        return None
    plain = {
        key: value
        for key, value in preprocessor.items()
        if key not in PREPROCESSOR_KEYS
    }
    plain['type'] = 'mmpretrain.ClsDataPreprocessor'
    transforms = [
        BATCH_AUGMENTS.build(dict(_scope_='mmdskd', **augment)).per_image()
        for augment in preprocessor.get('augments') or []
    ]
    train_dataloader = unwrap_dataloader(train_dataloader)
    if train_dataloader is None or not transforms:
        return plain, train_dataloader
    dataset = train_dataloader['dataset']
    if None in transforms or not dataset.get('pipeline'):
        return None
    # The last one packs the image.
    *before, last = dataset['pipeline']
    dataset = dict(dataset, pipeline=[*before, *transforms, last])
    return plain, dict(train_dataloader, dataset=dataset)
