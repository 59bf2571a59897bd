"""quasicrit: is this deep network critical, and what should one do about it?"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """``__version__``, of the installed package: pyproject.toml is the one place that says it.

    Looked up when it is asked for, since ``importlib.metadata`` takes longer to import than the rest of this.
    """
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    return metadata.version("quasicrit")
