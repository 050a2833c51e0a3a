_base_ = [
    '../../_base_/datasets/imagenet_bs32_pil_resize.py',
    '../../_base_/models/imagenet/resnet50.py',
    '../../_base_/models/imagenet/mobilenetv2.py',
    '../../_base_/distillers/dskd.py',
    'mmpretrain::_base_/schedules/imagenet_bs256_epochstep.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    architecture=_base_.mobilenetv2,
    teacher=_base_.resnet50,
    teacher_ckpt='https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb32_in1k_20210831-ea4938fc.pth',
    distiller=dict(
        student_recorders=dict(
            shallow=dict(
                sources=[
                    'backbone.layer2',
                    'backbone.layer3',
                    'backbone.layer5',
                ]
            )
        ),
        teacher_recorders=dict(feat=dict(source='backbone.layer4')),
        connectors=dict(
            heads=dict(
                in_channels=[24, 32, 96],
                strides=[8, 4, 2],
                out_channels=2048,
                num_classes=1000,
                # 128 channels, see docs/branches.md
                head=dict(type='mmdskd.SepConvHead', bottleneck_ratio=0.0625),
            )
        ),
        distill_losses=dict(loss_dskd=dict(num_branches=3)),
    ),
)
