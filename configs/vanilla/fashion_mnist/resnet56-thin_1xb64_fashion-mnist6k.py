_base_ = [
    '../../_base_/datasets/fashion_mnist6k_bs64.py',
    '../../_base_/models/fashion_mnist/resnet56_thin.py',
    '../../_base_/schedules/fashion_mnist6k_6e.py',
    '../../_base_/default_runtime.py',
]

model = _base_.resnet56_thin
