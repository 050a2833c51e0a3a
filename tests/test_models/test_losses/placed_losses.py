"""Run a loss of MMRazor in a branch, and at the last layer beside DSKD."""

import inspect
from typing import NamedTuple

import torch
from mmpretrain.structures import DataSample

from mmdskd.models import Branch, DSKDLoss
from mmdskd.models.losses.criterion import LABEL_ARGUMENTS
from mmdskd.registry import MODELS

N, NUM_CLASSES = 8, 10  # of a batch
CHANNELS_S, CHANNELS_T, SIZE = 16, 32, 4  # of the last feature maps


class Wiring(NamedTuple):
    """How a loss at the last layer gets what it compares."""

    record: str
    student: list = []  # configs of connectors
    teacher: list = []
    algorithm: str = 'SingleTeacherDistill'
    distiller: str = 'ConfigurableDistiller'


CONV = dict(
    type='ConvModuleConnector', in_channel=CHANNELS_S, out_channel=CHANNELS_T
)
LOGITS = Wiring('logits')
# A convolution makes the shapes equal, unless a loss has connectors of its
# own.
FEATURES = Wiring('feat', [CONV])
FEATURES_OF = dict(
    CRDLoss=Wiring(
        'embedding',
        [dict(type='CRDConnector', dim_in=CHANNELS_S)],
        [dict(type='CRDConnector', dim_in=CHANNELS_T)],
    ),
    FBKDLoss=Wiring(
        'feat',
        [CONV, dict(type='FBKDStudentConnector', in_channels=CHANNELS_T)],
        [dict(type='FBKDTeacherConnector', in_channels=CHANNELS_T)],
    ),
    FTLoss=Wiring(
        'feat',
        [dict(type='Translator', in_channel=CHANNELS_S, out_channel=8)],
        [
            dict(
                type='Paraphraser',
                in_channel=CHANNELS_T,
                out_channel=8,
                phase='train',
            )
        ],
    ),
    MGDLoss=Wiring(
        'feat',
        [
            dict(
                type='MGDConnector',
                student_channels=CHANNELS_S,
                teacher_channels=CHANNELS_T,
            )
        ],
    ),
    OFDLoss=Wiring(
        'bn',
        [dict(CONV, norm_cfg=dict(type='BN'), act_cfg=None)],
        [dict(type='OFDTeacherConnector')],
        'OverhaulFeatureDistillation',
        'OFDDistiller',
    ),
)


def check_loss(loss, student, teacher):
    """Run backward, and look at where the gradient gets.

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


def run_branches(term, loss):
    """Run a loss for both branches of a DSKDLoss."""
    loss = DSKDLoss(num_branches=2, **{term: loss})

    def draw(*shape):
        return torch.randn(*shape, requires_grad=True)

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


def map_arguments(cfg, compared):
    """Map records to the arguments of a loss. One of a single network gets
    the teacher's."""
    forward = MODELS.build(dict(cfg, _scope_='mmrazor')).forward
    names = [
        name
        for name, p in inspect.signature(forward).parameters.items()
        if p.default is p.empty
    ]
    labels = dict(from_student=True, recorder='gt_labels', data_idx=1)
    samples = dict(from_student=True, recorder='data_samples', data_idx=1)
    by_name = dict(dict.fromkeys(LABEL_ARGUMENTS, labels))
    by_name['data_samples'] = samples
    mapping = {name: by_name[name] for name in names if name in by_name}
    rest = [name for name in names if name not in mapping]
    return {**mapping, **dict(zip(rest, compared[-len(rest) :]))}


def build_algorithm(model, cfg, wiring):
    """Build the algorithm of a DSKD config with another loss, loss_tried."""
    distiller = model.distiller
    for recorders in (
        distiller.student_recorders,
        distiller.teacher_recorders,
    ):
        for name, source in (
            ('feat', 'backbone.layer3'),
            ('bn', 'backbone.layer3.0.bn2'),
            ('embedding', 'neck.gap'),
        ):
            recorders[name] = dict(type='ModuleOutputs', source=source)
    distiller.student_recorders.data_samples = dict(
        type='ModuleInputs', source=''
    )
    compared = []
    for side in ('student', 'teacher'):
        record = dict(from_student=side == 'student', recorder=wiring.record)
        connectors = getattr(wiring, side)
        if connectors:
            distiller.connectors[side] = (
                connectors if len(connectors) > 1 else connectors[0]
            )
            record['connector'] = side
        compared.append(record)
    model.type = f'mmrazor.{wiring.algorithm}'
    distiller.type = wiring.distiller
    del distiller.distill_losses['loss_kd']
    del distiller.loss_forward_mappings['loss_kd']
    distiller.distill_losses['loss_tried'] = cfg
    distiller.loss_forward_mappings['loss_tried'] = map_arguments(
        cfg, compared
    )
    return MODELS.build(model)


def run_last_layer(model, cfg, wiring):
    """Run a loss beside DSKD, in an algorithm of MMRazor."""
    algorithm = build_algorithm(model, cfg, wiring)
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
    images = torch.randn(N, 1, 4 * SIZE, 4 * SIZE)
    found = algorithm(images, samples, mode='loss')
    assert found['distill.loss_dskd'].isfinite()
    check_loss(
        found['distill.loss_tried'],
        list(algorithm.student.parameters()),
        list(algorithm.teacher.parameters()),
    )
