"""Keeps `transformers` from writing progress bars and notices between ours."""


def quiet_transformers() -> None:
    """Silence its progress bars and all but its errors; imports it, which takes seconds."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
