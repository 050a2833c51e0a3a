from .dskd_connector import DSKDConnector

__all__ = ['DSKDConnector']
