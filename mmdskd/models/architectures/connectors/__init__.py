from .dskd_connector import DSKDConnector
from .feature_map_connector import FeatureMapConnector

__all__ = ['DSKDConnector', 'FeatureMapConnector']
