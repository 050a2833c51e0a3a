import pytest

from mmdskd.pairing.own_weights import (
    brings_all_weights,
    describe_weights,
    find_checkpoint,
    find_weights,
)

NORMAL = dict(type='Normal', layer='Linear')


def pretrained(**kwargs):
    return dict(type='Pretrained', checkpoint='a.pth', **kwargs)


@pytest.mark.parametrize(
    'model, found, whole, checkpoint',
    [
        ({}, [], False, None),
        (dict(init_cfg=NORMAL, pretrained=None), [], False, None),
        (
            dict(init_cfg=pretrained()),
            [('model.init_cfg', 'a.pth')],
            True,
            'a.pth',
        ),
        (
            dict(init_cfg=[NORMAL, pretrained(prefix='architecture')]),
            [('model.init_cfg', 'a.pth')],
            True,
            None,  # teacher_ckpt knows no prefix
        ),
        (
            dict(backbone=dict(init_cfg=pretrained(prefix='backbone'))),
            [('model.backbone.init_cfg', 'a.pth')],
            False,
            None,
        ),
        (
            dict(neck=[dict(type='A'), dict(init_cfg=[pretrained()])]),
            [('model.neck.1.init_cfg', 'a.pth')],
            False,
            None,
        ),
        (
            dict(pretrained='b.pth'),
            [('model.pretrained', 'b.pth')],
            True,
            'b.pth',
        ),
        (dict(pretrained=True), [('model.pretrained', True)], True, None),
        (
            dict(checkpoint_path='c.pth'),
            [('model.checkpoint_path', 'c.pth')],
            True,
            None,
        ),
        (
            dict(backbone=dict(pretrained=True)),
            [('model.backbone.pretrained', True)],
            False,
            None,
        ),
    ],
)
def test_weights_of_a_network(model, found, whole, checkpoint):
    assert list(find_weights(model)) == found
    assert brings_all_weights(model) == whole
    assert find_checkpoint(model) == checkpoint


def test_description():
    model = dict(
        pretrained=True, backbone=dict(init_cfg=pretrained(prefix='x'))
    )
    assert describe_weights(model) == (
        'model.pretrained (True), model.backbone.init_cfg (a.pth)'
    )
    assert describe_weights({}) == ''
