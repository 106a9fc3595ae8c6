"""The domain's text of a request: the students near the front scored anew on it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from autodistil.errors import TeacherUnavailable
from autodistil.search.budget import Budget
from autodistil.search.latency_limit import Profiles
from autodistil.selection.on_text import DomainSearch, search_domain
from autodistil.superlm.bundle import SuperLM
from autodistil.superlm.entries import entries_of
from models_store.texts import read_text
from worker.workshop import Workshop

if TYPE_CHECKING:
    from autodistil.models.teacher import Teacher


def check_teachers(teachers: Mapping[str, str], names: set[str]) -> None:
    """Refuse text for SuperLMs whose teacher is not at hand.

    Args:
        teachers: Folders or hub ids of teachers, by their names.
        names: Names of the teachers that are needed.

    Raises:
        TeacherUnavailable: Says what an operator can do.
    """
    missing = sorted(names - set(teachers))
    if missing:
        raise TeacherUnavailable(
            f"Text can be used only beside the teacher, and this service does not have "
            f"{', '.join(missing)}. Ask without text, or have an operator name its folder: "
            f'AUTODISTIL_TEACHERS=\'{{"{missing[0]}": "/path/of/the/teacher"}}\'.',
            missing=missing,
            teachers=sorted(teachers),
        )


def search_on_text(
    workshop: Workshop,
    text_sha256: str,
    superlms: Mapping[str, SuperLM],
    budget: Budget,
    profiles: Profiles,
    check: Callable[[], None],
) -> DomainSearch:
    """Score the best students within a budget anew on the text of a request.

    Args:
        workshop: The worker's means.
        text_sha256: Of the text in the store.
        superlms: By `name@version`, all of one teacher.
        budget: The limits.
        profiles: The profiled devices.
        check: Called again and again; may raise to stop.

    Raises:
        TeacherUnavailable: The teacher is not at hand.
        TeacherMismatch: It is not the one that the SuperLMs were distilled from.
        TextGone: The text is no longer stored.
    """
    (name,) = {superlm.spec.teacher.name for superlm in superlms.values()}
    check_teachers(workshop.teachers, {name})
    return search_domain(
        superlms,
        entries_of(superlms.values()),
        budget,
        _teacher(workshop.teachers[name]),
        read_text(workshop.store, text_sha256),
        profiles,
        on_student=lambda done, total: check(),
    )


@lru_cache(maxsize=1)  # a worker serves one teacher again and again
def _teacher(name: str) -> "Teacher":
    from autodistil.models.teacher import load_teacher

    return load_teacher(name)
