"""The method: sub-spaces, SuperLM training, search, slicing. No HTTP, no database, no broker."""

__version__ = "0.1.0"
