_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32_pil_resize.py'

# An algorithm of MMRazor needs the type.
data_preprocessor = dict(type='mmpretrain.ClsDataPreprocessor')
