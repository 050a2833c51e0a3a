_base_ = [
    '../../_base_/datasets/fashion_mnist_bs64.py',
    '../../_base_/pairs/fashion_mnist/dskd_resnet20_mobilenetv2_thin.py',
    '../../_base_/schedules/fashion_mnist_1e.py',
    '../../_base_/default_runtime.py',
]
