from .base_branch_head import BaseBranchHead, Branch
from .conv_head import ConvHead
from .sep_conv_head import SepConvHead

__all__ = ['BaseBranchHead', 'Branch', 'ConvHead', 'SepConvHead']
