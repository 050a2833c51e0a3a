from .loss_weight_strategies import *  # noqa: F403
from .recorder import *  # noqa: F403
