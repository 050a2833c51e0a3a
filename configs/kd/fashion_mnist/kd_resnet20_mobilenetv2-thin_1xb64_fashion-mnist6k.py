_base_ = [
    '../../_base_/datasets/fashion_mnist6k_bs64.py',
    '../../_base_/pairs/fashion_mnist/kd_resnet20_mobilenetv2_thin.py',
    '../../_base_/schedules/fashion_mnist6k_6e.py',
    '../../_base_/default_runtime.py',
]
