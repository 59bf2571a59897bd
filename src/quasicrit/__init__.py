"""quasicrit: is this deep network critical, and what should one do about it?"""

__version__ = "0.1.0"
