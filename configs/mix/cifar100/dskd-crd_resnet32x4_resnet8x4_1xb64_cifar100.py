# CRD between the pooled last features of student and teacher, beside DSKD.
_base_ = '../../dskd/cifar100/dskd_resnet32x4_resnet8x4_1xb64_cifar100.py'

model = dict(
    distiller=dict(
        student_recorders=dict(
            embedding=dict(type='ModuleOutputs', source='neck.gap'),
            data_samples=dict(type='ModuleInputs', source=''),
        ),
        teacher_recorders=dict(
            embedding=dict(type='ModuleOutputs', source='neck.gap')
        ),
        connectors=dict(
            crd_S=dict(type='CRDConnector', dim_in=256, dim_out=128),
            crd_T=dict(type='CRDConnector', dim_in=256, dim_out=128),
        ),
        # It takes no notice of its loss_weight.
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', neg_num=16384, sample_n=50000)
        ),
        loss_forward_mappings=dict(
            loss_crd=dict(
                s_feats=dict(
                    from_student=True, recorder='embedding', connector='crd_S'
                ),
                t_feats=dict(
                    from_student=False, recorder='embedding', connector='crd_T'
                ),
                data_samples=dict(
                    from_student=True, recorder='data_samples', data_idx=1
                ),
            )
        ),
    )
)

# The negatives are drawn by the data set, image by image, and MMEngine's
# preprocessor takes them to the device, which MMPretrain's does not.
data_preprocessor = dict(
    _delete_=True,
    type='mmengine.ImgDataPreprocessor',
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
)
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        _delete_=True,
        type='mmrazor.CRDDataset',
        neg_num=16384,
        percent=1.0,
        dataset=dict(
            type='mmdskd.CIFAR100',
            data_root='data/cifar100',
            split='train',
            pipeline=[
                dict(type='RandomCrop', crop_size=32, padding=4),
                dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='mmrazor.PackCRDClsInputs'),
            ],
        ),
    ),
)
