"""Tell which losses of MMRazor fit where beside and within DSKD.

Builds every loss that MMRazor registers, and runs it forward and backward in
each place: as the logit_loss and the feat_loss of the branches, and at the
last layer beside DSKD in an algorithm of MMRazor. Prints the tables of
docs/losses.md in Markdown.
"""

import argparse
import inspect
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import NamedTuple, Union

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

import mmdskd  # noqa: F401  (makes MMRazor work: first of all)
from mmdskd.models import Branch, DSKDLoss
from mmdskd.models.losses.criterion import LABEL_ARGUMENTS
from mmdskd.registry import MODELS
from mmdskd.utils.text import format_header, format_row

Connectors = Union[dict, list[dict], None]
N, NUM_CLASSES = 8, 10  # of a batch
CHANNELS_S, CHANNELS_T, SIZE = 16, 32, 4  # of the last feature maps
PLACES = (
    '`logit_loss` of a branch',
    '`feat_loss` of a branch',
    'last layer: logits',
    'last layer: features',
)
# Arguments without which a loss is of another number of classes or samples.
ARGUMENTS = dict(
    WSLD=dict(num_classes=NUM_CLASSES), CRDLoss=dict(neg_num=4, sample_n=N)
)
# What a user should know of a loss that runs.
NOTES = dict(
    ABLoss='is for features before their activation',
    CRDLoss='takes no notice of its `loss_weight`; data as in '
    '[configs/mix](../configs/mix)',
    CrossEntropyLoss="takes the teacher's class (on feature maps: its largest "
    'channel) for the label; another loss than `mmpretrain.CrossEntropyLoss`',
    DISTLoss='on feature maps, the channels are its classes',
    DKDLoss='any `reduction` but `batchmean` sums; class indices only, so no '
    'mixup',
    FTLoss="MMRazor's own recipe first trains the `Paraphraser` to "
    'reconstruct',
    KDSoftCELoss='on feature maps, its softmax is along the width',
    KLDivergence='on feature maps, its softmax is along the channels, and it '
    'sums over the positions',
    L2Loss='`normalize=False, div_element=True` makes it the MSE',
    OFDLoss='on the last layer: `OverhaulFeatureDistillation` with its '
    '`OFDDistiller`, and recorded batch norms',
    WSLD='set `num_classes`; class indices only, so no mixup',
)
# Why a loss does not fit, for the places where what it raises leaves it open.
MAPS = 'compares feature maps, (N, C, H, W)'
ONE_CLASS = 'parts the class of the label from the others: logits only'
GENERATOR = (
    'looks at one network: it trains the generator of DAFL, which '
    'makes images where there are no data'
)
REASONS = dict(
    ATLoss='the attention of logits is one number per image, and is '
    'normalised to 1',
    ActivationLoss=GENERATOR,
    CRDLoss='contrasts samples by their index, so it takes `data_samples`, '
    'which `DSKDLoss` has not, and normalised embeddings, which '
    '`CRDConnector` makes',
    ChannelWiseDivergence=MAPS,
    DKDLoss=ONE_CLASS,
    FBKDLoss='takes the tuples that its connectors make of two feature maps',
    InformationEntropyLoss=GENERATOR,
    MGDLoss=MAPS,
    OnehotLikeLoss=GENERATOR,
    PKDLoss=MAPS,
    WSLD=ONE_CLASS,
)


class Wiring(NamedTuple):
    """How the loss on the last layer gets what it compares.

    Attributes:
        record (str): Name of the recorders.
        student (dict or list[dict], optional): Connector of the student.
        teacher (dict or list[dict], optional): Connector of the teacher.
        algorithm (str): Type of the algorithm.
        distiller (str): Type of the distiller.
    """

    record: str
    student: Connectors = None
    teacher: Connectors = None
    algorithm: str = 'SingleTeacherDistill'
    distiller: str = 'ConfigurableDistiller'


LOGITS = Wiring('logits')
CONV = dict(
    type='ConvModuleConnector', in_channel=CHANNELS_S, out_channel=CHANNELS_T
)
# Where shapes differ, a convolution makes them equal, but for those that
# have connectors of their own.
FEATURES = Wiring('feat', CONV)
FEATURES_OF = dict(
    CRDLoss=Wiring(
        'embedding',
        dict(type='CRDConnector', dim_in=CHANNELS_S),
        dict(type='CRDConnector', dim_in=CHANNELS_T),
    ),
    FBKDLoss=Wiring(
        'feat',
        [CONV, dict(type='FBKDStudentConnector', in_channels=CHANNELS_T)],
        dict(type='FBKDTeacherConnector', in_channels=CHANNELS_T),
    ),
    FTLoss=Wiring(
        'feat',
        dict(type='Translator', in_channel=CHANNELS_S, out_channel=8),
        dict(
            type='Paraphraser',
            in_channel=CHANNELS_T,
            out_channel=8,
            phase='train',
        ),
    ),
    MGDLoss=Wiring(
        'feat',
        dict(
            type='MGDConnector',
            student_channels=CHANNELS_S,
            teacher_channels=CHANNELS_T,
        ),
    ),
    OFDLoss=Wiring(
        'bn',
        dict(CONV, norm_cfg=dict(type='BN'), act_cfg=None),
        dict(type='OFDTeacherConnector'),
        'OverhaulFeatureDistillation',
        'OFDDistiller',
    ),
)


class Cell(NamedTuple):
    """What came of a loss in a place.

    Attributes:
        fits (bool): Whether it ran, and gave a gradient to the student alone.
        text (str): Connectors if it did, else what it raised or did.
    """

    fits: bool
    text: str


def find_losses() -> list[str]:
    """Find the losses that MMRazor registers.

    Returns:
        list[str]: Their names, sorted.
    """
    from mmrazor.registry import MODELS as registry  # after mmdskd

    return sorted(
        name
        for name, module in registry.module_dict.items()
        if module.__module__.startswith('mmrazor.models.losses.')
    )


def check_loss(
    loss: Tensor, student: list[Tensor], teacher: list[Tensor]
) -> None:
    """Run backward, and look at where the gradient gets.

    Args:
        loss (Tensor): The loss.
        student (list[Tensor]): What should get a gradient, some of it at
            least.
        teacher (list[Tensor]): What should get none.

    Raises:
        ValueError: If the loss or a gradient is not finite, the student gets
            no gradient, or the teacher does.
    """
    if not loss.isfinite().all():
        raise ValueError(f'the loss is {loss.sum().item()}')
    if not loss.requires_grad:
        raise ValueError('the student gets no gradient')
    loss.sum().backward()
    grads = [x.grad for x in student if x.grad is not None]
    if not any(grad.any() for grad in grads):
        raise ValueError('the student gets no gradient')
    if not all(grad.isfinite().all() for grad in grads):
        raise ValueError('the gradient is not finite')
    if any(x.grad is not None for x in teacher):
        raise ValueError('the teacher gets a gradient')


def run_branches(term: str, cfg: dict) -> None:
    """Run a loss in ``DSKDLoss``.

    Args:
        term (str): "logit_loss" or "feat_loss".
        cfg (dict): Config of the loss.

    Raises:
        Exception: What the loss raises, or :func:`check_loss`.
    """
    loss = DSKDLoss(num_branches=2, **{term: cfg})

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape).requires_grad_()

    teacher = [draw(N, NUM_CLASSES), draw(N, CHANNELS_T, SIZE, SIZE)]
    branches = [
        Branch(
            draw(N, CHANNELS_T, SIZE, SIZE),
            draw(N, NUM_CLASSES) if loss.needs_logits else None,
        )
        for _ in range(2)
    ]
    labels = torch.arange(N) % NUM_CLASSES
    for branch in branches:
        student = branch.logits if loss.needs_logits else branch.feat
        check_loss(loss(branches, *teacher, labels), [student], teacher)


def classifier(channels: int) -> dict:
    """Make the config of a tiny network.

    Args:
        channels (int): Channels of its last feature map.

    Returns:
        dict: The config. An image is four times as high as that map.
    """
    stages = (channels // 4, channels // 2, channels)
    return dict(
        type='ImageClassifier',
        _scope_='mmpretrain',
        backbone=dict(
            type='mmdskd.CIFARResNet',
            depth=8,
            stem_channels=stages[0],
            stage_channels=stages,
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=NUM_CLASSES,
            in_channels=channels,
            loss=dict(type='CrossEntropyLoss'),
        ),
    )


def build_algorithm(cfg: dict, wiring: Wiring) -> nn.Module:
    """Build an algorithm with DSKD and another loss, ``loss_tried``.

    Args:
        cfg (dict): Config of the other loss.
        wiring (Wiring): How it gets what it compares.

    Returns:
        nn.Module: The algorithm.
    """
    shared = dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
        feat=dict(type='ModuleOutputs', source='backbone.layer3'),
        bn=dict(type='ModuleOutputs', source='backbone.layer3.0.bn2'),
        embedding=dict(type='ModuleOutputs', source='neck.gap'),
    )
    connectors = dict(
        heads=dict(
            type='mmdskd.DSKDConnector',
            in_channels=[CHANNELS_S // 4, CHANNELS_S // 2],
            strides=[4, 2],
            out_channels=CHANNELS_T,
            num_classes=NUM_CLASSES,
        )
    )
    compared = dict(
        student=dict(from_student=True, recorder=wiring.record),
        teacher=dict(from_student=False, recorder=wiring.record),
    )
    for network, record in compared.items():
        connector = getattr(wiring, network)
        if connector is not None:
            connectors[network] = connector
            record['connector'] = network
    labels = dict(from_student=True, recorder='gt_labels', data_idx=1)
    samples = dict(from_student=True, recorder='data_samples', data_idx=1)
    return MODELS.build(
        dict(
            type=f'mmrazor.{wiring.algorithm}',
            _scope_='mmrazor',
            architecture=classifier(CHANNELS_S),
            teacher=classifier(CHANNELS_T),
            distiller=dict(
                type=wiring.distiller,
                student_recorders=dict(
                    shared,
                    shallow=dict(
                        type='mmdskd.MultiModuleOutputs',
                        sources=['backbone.layer1', 'backbone.layer2'],
                    ),
                    gt_labels=dict(
                        type='ModuleInputs', source='head.loss_module'
                    ),
                    data_samples=dict(type='ModuleInputs', source=''),
                ),
                teacher_recorders=shared,
                connectors=connectors,
                distill_losses=dict(
                    loss_tried=cfg,
                    loss_dskd=dict(
                        type='mmdskd.DSKDLoss',
                        num_branches=2,
                        logit_loss=dict(type='KLDivergence', tau=4),
                        feat_loss=dict(
                            type='L2Loss', normalize=False, div_element=True
                        ),
                    ),
                ),
                loss_forward_mappings=dict(
                    loss_tried=map_arguments(cfg, compared, labels, samples),
                    loss_dskd=dict(
                        branches=dict(
                            from_student=True,
                            recorder='shallow',
                            connector='heads',
                        ),
                        preds_T=dict(from_student=False, recorder='logits'),
                        feat_T=dict(from_student=False, recorder='feat'),
                    ),
                ),
            ),
        )
    )


def map_arguments(
    cfg: dict, compared: dict[str, dict], labels: dict, samples: dict
) -> dict[str, dict]:
    """Map what is recorded to the arguments of a loss.

    Args:
        cfg (dict): Config of the loss.
        compared (dict[str, dict]): Record of "student" and "teacher".
        labels (dict): Record of the labels.
        samples (dict): Record of the data samples.

    Returns:
        dict[str, dict]: Record by name of the argument. A loss of one network
        gets the teacher's.
    """
    loss = MODELS.build(dict(cfg, _scope_='mmrazor'))
    names = [
        name
        for name, p in inspect.signature(loss.forward).parameters.items()
        if p.default is p.empty
    ]
    by_name = dict.fromkeys(LABEL_ARGUMENTS, labels)
    by_name['data_samples'] = samples
    mapping = {name: by_name[name] for name in names if name in by_name}
    rest = [name for name in names if name not in mapping]
    mapping.update(zip(rest, list(compared.values())[-len(rest) :]))
    return mapping


def run_last_layer(cfg: dict, wiring: Wiring) -> None:
    """Run a loss beside DSKD, in an algorithm of MMRazor.

    Args:
        cfg (dict): Config of the loss.
        wiring (Wiring): How it gets what it compares.

    Raises:
        Exception: What the loss raises, or :func:`check_loss`.
    """
    algorithm = build_algorithm(cfg, wiring)
    algorithm.train()
    samples = []
    for index in range(N):
        sample = DataSample().set_gt_label(index % NUM_CLASSES)
        negatives = [(index + 1 + i) % N for i in range(4)]
        sample.set_data(
            dict(
                sample_idx=torch.tensor(index),
                contrast_sample_idxs=torch.tensor([index, *negatives]),
            )
        )
        samples.append(sample)
    images = torch.randn(N, 3, 4 * SIZE, 4 * SIZE)
    losses = algorithm(images, samples, mode='loss')
    assert losses['distill.loss_dskd'].isfinite()
    check_loss(
        losses['distill.loss_tried'],
        list(algorithm.student.parameters()),
        list(algorithm.teacher.parameters()),
    )


def describe(error: Exception) -> str:
    """Tell in short what an error says.

    Args:
        error (Exception): The error.

    Returns:
        str: Its type and message; of that of ``DSKDLoss`` about a signature
        only what the loss takes.
    """
    text = re.sub(
        r'.*(forward of \w+).* it (takes \(.*?\)).*', r'\1 \2', str(error)
    )
    return f'{type(error).__name__}: {text}'


def run(name: str, place: str) -> Cell:
    """Run a loss in a place.

    Args:
        name (str): Name of the loss.
        place (str): One of ``PLACES``.

    Returns:
        Cell: What came of it.
    """
    cfg = dict(type=name, **ARGUMENTS.get(name, {}))
    wiring = LOGITS if place == PLACES[2] else FEATURES_OF.get(name, FEATURES)
    torch.manual_seed(0)
    try:
        if place in PLACES[:2]:
            run_branches(('logit_loss', 'feat_loss')[PLACES.index(place)], cfg)
            return Cell(True, '')
        with redirect_stdout(StringIO()):  # CRDLoss prints
            run_last_layer(cfg, wiring)
    # Whatever it raises is what the table tells.
    except Exception as error:
        return Cell(False, describe(error.__cause__ or error))
    types = [
        f'`{part["type"]}`'
        for side in (wiring.student, wiring.teacher)
        if side is not None
        for part in (side if isinstance(side, list) else [side])
    ]
    return Cell(True, ', '.join(dict.fromkeys(types)))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    results = {
        name: {place: run(name, place) for place in PLACES}
        for name in find_losses()
    }
    print(format_header(('loss', *PLACES, 'note')))
    for name, cells in results.items():
        texts = [
            ('yes' + f', by {cell.text}' * bool(cell.text))
            if cell.fits
            else 'no'
            for cell in cells.values()
        ]
        print(format_row((f'`{name}`', *texts, NOTES.get(name, ''))))
    print()
    print(
        format_header(
            ('loss', 'why not', 'what it does where it does not fit')
        )
    )
    for name, cells in results.items():
        raised: dict[str, list[str]] = {}
        for place, cell in cells.items():
            if not cell.fits:
                raised.setdefault(cell.text, []).append(place)
        if raised:
            print(
                format_row(
                    (
                        f'`{name}`',
                        REASONS.get(name, ''),
                        '; '.join(
                            f'{", ".join(places)}: `{text}`'
                            for text, places in raised.items()
                        ),
                    )
                )
            )


if __name__ == '__main__':
    main()
