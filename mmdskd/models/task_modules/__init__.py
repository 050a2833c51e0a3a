from .loss_weight_strategies import *  # noqa: F401,F403
from .recorder import *  # noqa: F401,F403
