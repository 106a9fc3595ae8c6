"""The method: sub-spaces, SuperLM training, search, and slicing. No HTTP, no database, no broker."""

__version__ = "0.1.0"
