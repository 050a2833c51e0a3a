# At the size of the CIFAR networks; in small batches, as epochs are few.
# In memory, as cifar100_bs64.py tells; or, appending "_per_image", not.
_base_ = './digits_bs64.py'

test_pipeline = [dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
data_preprocessor = dict(
    augments=[dict(type='mmdskd.BatchRandomCrop', crop_size=32, padding=2)]
)

dataset = dict(pipeline=test_pipeline)
train_dataloader = dict(batch_size=16, dataset=dict(dataset=dataset))
val_dataloader = dict(dataset=dict(dataset=dataset))
test_dataloader = dict(dataset=dataset)
