"""Student and teacher of one label per image, or of several."""

from mmengine.config import Config

from mmdskd.models.utils.multi_label import is_multi_label
from mmdskd.utils.config import type_name

from .branch_plan import BranchPlan
from .source_config import SourceConfig

# What is for images of several labels, of MMPretrain.
MULTI_LABEL = (
    'MultiLabelDataset',
    'VOC',
    'MultiLabelMetric',
    'AveragePrecision',
    'VOCMultiLabelMetric',
    'VOCAveragePrecision',
)


def choose_multi_label(plan: BranchPlan, data: SourceConfig) -> bool:
    """Tell whether a pair has several labels per image.

    Args:
        plan (BranchPlan): Student and teacher.
        data (SourceConfig): The config whose data are used.

    Returns:
        bool: Whether both heads are for several labels.

    Raises:
        ValueError: If one of them is, and the other is not, or the data have
            several labels, and the heads give one.
    """
    heads = {
        outline.name: outline.network
        for outline in (plan.student, plan.teacher)
    }
    found = {name: is_multi_label(network) for name, network in heads.items()}
    if len(set(found.values())) > 1:
        told = ', '.join(
            f'{name} has {"several" if several else "one"} '
            f'({type(getattr(heads[name], "head", heads[name])).__name__})'
            for name, several in found.items()
        )
        raise ValueError(
            'Student and teacher should both have one label per image, or '
            f'both several, but {told}: their logits mean different things. '
            'Take two that were made for the same data'
        )
    several = found[plan.student.name]
    part = _find_multi_label(data.cfg)
    if part and not several:
        head = type(getattr(plan.student.network, 'head', None)).__name__
        raise ValueError(
            f'{data.path} is for several labels per image ({part}), but the '
            f'head of the student, {head}, predicts one: take a '
            'MultiLabelLinearClsHead or a CSRAClsHead for both networks'
        )
    return several


def _find_multi_label(cfg: Config) -> str:
    """Name what a config has for several labels, or return ""."""
    evaluators = cfg.get('val_evaluator') or []
    parts = [evaluators] if isinstance(evaluators, dict) else list(evaluators)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    while isinstance(dataset, dict):
        parts.append(dataset)
        dataset = dataset.get('dataset')
    names = [type_name(part) for part in parts]
    return next((name for name in names if name in MULTI_LABEL), '')
