# CRD between the pooled last features of student and teacher, beside DSKD.
_base_ = '../../dskd/digits/dskd_resnet20_resnet8-thin_1xb64_digits.py'

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
            crd_S=dict(type='CRDConnector', dim_in=16, dim_out=128),
            crd_T=dict(type='CRDConnector', dim_in=64, dim_out=128),
        ),
        # It takes no notice of its loss_weight.
        distill_losses=dict(
            loss_crd=dict(type='CRDLoss', neg_num=256, sample_n=898)
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
    _delete_=True, type='mmengine.ImgDataPreprocessor', mean=[78.4], std=[81.7]
)
train_dataloader = dict(
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        _delete_=True,
        type='mmrazor.CRDDataset',
        neg_num=256,
        percent=1.0,
        dataset=dict(
            type='mmdskd.Digits',
            split='train',
            pipeline=[
                dict(type='Resize', scale=(16, 16)),
                dict(type='RandomCrop', crop_size=16, padding=1),
                dict(type='mmrazor.PackCRDClsInputs'),
            ],
        ),
    ),
)
