import re

import pytest

from mmdskd.pairing.source_check import check_classifier

RESNET = dict(type='ResNet', depth=18)
HEAD = dict(type='LinearClsHead', num_classes=10, in_channels=512)


def network(**kwargs):
    return dict(
        dict(type='ImageClassifier', backbone=RESNET, head=HEAD), **kwargs
    )


def refuse(model, message, scope='mmpretrain'):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_classifier('net.py', model, scope)


@pytest.mark.parametrize(
    'model, scope',
    [
        (network(), 'mmpretrain'),
        (network(type='mmpretrain.ImageClassifier'), 'mmengine'),
        (network(_scope_='mmpretrain'), 'mmengine'),
        (network(backbone=dict(type='mmdskd.CIFARResNet')), 'mmpretrain'),
        (network(neck=[dict(type='GlobalAveragePooling')]), 'mmpretrain'),
        (
            network(head=dict(HEAD, type='MultiLabelLinearClsHead')),
            'mmpretrain',
        ),
        (dict(type='TimmClassifier', model_name='resnet18'), 'mmpretrain'),
    ],
)
def test_classifiers_pass(model, scope):
    if model.get('type') == 'mmpretrain.ImageClassifier':
        model['backbone'] = dict(type='mmpretrain.ResNet')
        model['head'] = dict(type='mmpretrain.LinearClsHead')
    check_classifier('net.py', model, scope)


@pytest.mark.parametrize(
    'model, scope, what',
    [
        (
            dict(type='FasterRCNN'),
            'mmdet',
            'FasterRCNN of mmdet is for object detection',
        ),
        (
            dict(type='mmseg.EncoderDecoder'),
            'mmengine',
            'EncoderDecoder of mmseg is for segmentation',
        ),
        (
            dict(type='DCGAN', _scope_='mmagic'),
            'mmengine',
            'DCGAN of mmagic is for image generation',
        ),
        (dict(type='MoCoV3'), 'mmpretrain', 'MoCoV3 learns without labels'),
        (dict(type='SimCLR'), 'mmpretrain', 'SimCLR learns without labels'),
        (
            dict(type='ImageToImageRetriever'),
            'mmpretrain',
            'ImageToImageRetriever retrieves images',
        ),
        (
            dict(type='CLIPZeroShot'),
            'mmpretrain',
            'CLIPZeroShot takes images and text',
        ),
        (network(head=None), 'mmpretrain', 'its model has no head'),
    ],
)
def test_other_tasks_are_refused(model, scope, what):
    refuse(
        model,
        f'net.py should be the config of an image classifier, but {what}',
        scope,
    )


def test_heads_of_several_tasks_are_refused():
    head = dict(type='MultiTaskHead', task_heads=dict(color=HEAD, shape=HEAD))
    refuse(
        network(head=head),
        'net.py should be the config of an image classifier with one head, '
        'but MultiTaskHead has several (color, shape): logits are compared '
        'of one of them at a time',
    )


def test_heads_with_a_margin_are_refused():
    refuse(
        network(head=dict(HEAD, type='ArcFaceClsHead')),
        'with plain logits, but those of ArcFaceClsHead have a margin at the '
        'label in training, which the teacher has not',
    )


@pytest.mark.parametrize(
    'model, message',
    [
        (
            network(type='ImageClasifier'),
            "model.type of net.py should be registered, but 'ImageClasifier' "
            "is in no registry that the scope 'mmpretrain' reaches. Did you "
            'mean ImageClassifier',
        ),
        (
            network(backbone=dict(type='mmdskd.CIFARResnet')),
            'model.backbone.type of net.py should be registered, but '
            "'mmdskd.CIFARResnet' is in no registry",
        ),
        (
            network(neck=[dict(type='GlobalAvragePooling')]),
            'Did you mean GlobalAveragePooling',
        ),
        (
            network(head=dict(type='Qqqqq')),
            "'Qqqqq' is in no registry that the scope 'mmpretrain' "
            'reaches. If it is a class of yours, name its module in '
            'custom_imports',
        ),
        (dict(type='nopackage.Net'), "'nopackage.Net' is in no registry"),
    ],
)
def test_names_that_are_not_registered(model, message):
    refuse(model, message)
