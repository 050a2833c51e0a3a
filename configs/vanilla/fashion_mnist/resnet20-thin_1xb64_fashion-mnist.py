_base_ = [
    '../../_base_/datasets/fashion_mnist_bs64.py',
    '../../_base_/models/fashion_mnist/resnet20_thin.py',
    '../../_base_/schedules/fashion_mnist_1e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet20_thin
