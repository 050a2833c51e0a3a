# In memory, as cifar100_bs64.py tells; or, appending "_per_image", not.
_base_ = './cifar100_bs64.py'

# Of the training images, of 0..255; MMPretrain's deviations are others.
data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[62.985, 62.0925, 66.708],
)

dataset = dict(type='mmdskd.CIFAR10', data_root='data/cifar10')
train_dataloader = dict(dataset=dict(dataset=dataset))
val_dataloader = dict(dataset=dict(dataset=dataset))
test_dataloader = dict(dataset=dataset)
