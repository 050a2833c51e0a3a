"""The algorithm of a DSKD training, with its recorders, heads and losses."""

from typing import Any, Optional

from .branch_plan import BranchPlan

HOOKS: tuple[dict[str, Any], ...] = (
    dict(
        type='mmdskd.LossWeightSchedulerHook',
        loss='loss_dskd',
        strategy='softmax',
        ema_decay=0.9,
        interval=1,
    ),
    dict(type='mmdskd.StudentCheckpointHook'),
    dict(type='mmdskd.TeacherEvaluationHook'),
)


def make_algorithm(
    plan: BranchPlan,
    student: dict,
    teacher: dict,
    teacher_ckpt: Optional[str],
    student_logits: str,
    teacher_logits: str,
    head: Optional[dict] = None,
    multi_label: bool = False,
    teacher_images: Optional[dict] = None,
) -> dict[str, Any]:
    """Make the config of the algorithm for a pair.

    Args:
        plan (BranchPlan): Where the branches attach.
        student (dict): Config of the student.
        teacher (dict): Config of the teacher.
        teacher_ckpt (str, optional): Checkpoint of the teacher. None lets it
            bring its own weights.
        student_logits (str): Name of the student's module that returns the
            logits.
        teacher_logits (str): The same of the teacher.
        head (dict, optional): Config of the heads. Defaults to None, which
            means the default of :class:`~mmdskd.models.DSKDConnector`.
        multi_label (bool): Whether an image has several labels. Defaults to
            False.
        teacher_images (dict, optional): Arguments that prepare the images for
            the teacher, of :func:`choose_teacher_images`. Defaults to None.

    Returns:
        dict: ``model`` of a config.
    """
    kl = (
        dict(type='mmdskd.BinaryKLDivergence', tau=1, loss_weight=1.0)
        if multi_label
        else dict(type='KLDivergence', tau=4, loss_weight=1.0)
    )
    mse = dict(
        type='L2Loss', normalize=False, div_element=True, loss_weight=1.0
    )
    preds_T = dict(from_student=False, recorder='logits')
    student_recorders = dict(
        shallow=dict(type='mmdskd.MultiModuleOutputs', sources=plan.sources),
        logits=dict(type='ModuleOutputs', source=student_logits),
    )
    connectors = dict(
        heads=dict(type='mmdskd.DSKDConnector', **plan.connector)
    )
    if head:
        connectors['heads']['head'] = head
    feat_T: dict[str, Any] = dict(from_student=False, recorder='feat')
    if not plan.target.is_map:
        connectors['teacher_map'] = dict(
            type='mmdskd.FeatureMapConnector', layout=plan.target.layout.config
        )
        feat_T['connector'] = 'teacher_map'
    dskd: dict[str, Any] = dict(
        branches=dict(
            from_student=True, recorder='shallow', connector='heads'
        ),
        preds_T=preds_T,
        feat_T=feat_T,
    )
    if 'head.loss_module' in plan.student.module_names:
        student_recorders['gt_labels'] = dict(
            type='ModuleInputs', source='head.loss_module'
        )
        dskd['gt_labels'] = dict(
            from_student=True, recorder='gt_labels', data_idx=1
        )
    return dict(
        type='mmdskd.FrozenTeacherDistill',
        _scope_='mmrazor',
        architecture=student,
        teacher=teacher,
        teacher_ckpt=teacher_ckpt,
        **(teacher_images or {}),
        distiller=dict(
            type='ConfigurableDistiller',
            student_recorders=student_recorders,
            teacher_recorders=dict(
                feat=dict(type='ModuleOutputs', source=plan.target.name),
                logits=dict(type='ModuleOutputs', source=teacher_logits),
            ),
            connectors=connectors,
            distill_losses=dict(
                loss_kd=kl,
                loss_dskd=dict(
                    type='mmdskd.DSKDLoss',
                    num_branches=len(plan.branches),
                    logit_loss=kl,
                    feat_loss=mse,
                ),
            ),
            loss_forward_mappings=dict(
                loss_kd=dict(
                    preds_S=dict(from_student=True, recorder='logits'),
                    preds_T=preds_T,
                ),
                loss_dskd=dskd,
            ),
        ),
    )
