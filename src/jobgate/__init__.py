"""jobgate: the network gate of a compute job."""

__version__ = "0.1.0"
