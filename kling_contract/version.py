"""The version of the package, for those who may not import its front."""

__all__ = ["__version__"]

__version__ = "0.1.0"
