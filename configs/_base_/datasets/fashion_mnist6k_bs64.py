# The first 6,000 training images.
_base_ = './fashion_mnist_bs64.py'

train_dataloader = dict(dataset=dict(dataset=dict(indices=6000)))
