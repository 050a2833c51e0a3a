from .base_branch_head import BaseBranchHead, Branch
from .conv_head import ConvHead
from .linear_head import LinearHead
from .sep_conv_head import SepConvHead

__all__ = ['BaseBranchHead', 'Branch', 'ConvHead', 'LinearHead', 'SepConvHead']
