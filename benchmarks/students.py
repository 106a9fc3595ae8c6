"""What the benchmarks share: the students they look at."""

from autodistil.families.architecture import Architecture
from autodistil.spaces.sub_space import SubSpace


def three(space: SubSpace) -> list[Architecture]:
    """Smallest, middle (the middle of every axis), and largest."""
    hidden = space.hidden[len(space.hidden) // 2]
    intermediate = hidden * space.ffn_percent[len(space.ffn_percent) // 2] // 100
    layers = space.layers[len(space.layers) // 2]
    same = [
        student
        for student in space.students()
        if (student.layers, student.hidden, student.intermediate) == (layers, hidden, intermediate)
    ]
    return [space.smallest, same[len(same) // 2], space.largest]
