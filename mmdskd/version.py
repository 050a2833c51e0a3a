__version__ = '0.1.0'
# The range of torch that is tested. requirements/runtime.txt has it for pip.
MIN_TORCH = '1.13'
MAX_TORCH = '2.14'
