_base_ = './cifar100_bs64_per_image.py'

dataset_type = 'mmdskd.CIFAR10'
# Of the training images, of 0..255; MMPretrain's deviations are others.
data_preprocessor = dict(
    num_classes=10,
    mean=[125.307, 122.961, 113.8575],
    std=[62.985, 62.0925, 66.708],
)

dataset = dict(type=dataset_type, data_root='data/cifar10')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
