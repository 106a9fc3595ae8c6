"""The baseline of every SuperLM: the same architecture distilled alone, for the same tokens.

    python benchmarks/alone.py BUNDLE --teacher FOLDER --corpus TEXT... --out FOLDER

For the smallest, middle, and largest student of a bundle, or those of `--sizes`, trains a SuperLM
that holds this student only, from a start made for it in the same way and by the same settings, and
writes three folders that `autodistil evaluate` takes: `shared` (out of the bundle), `alone`, and
`untrained` (the slice at step 0).
Stopped, the same command goes on.
"""

import argparse
import dataclasses
from pathlib import Path

import torch

from autodistil.extraction.handover import extract_student
from autodistil.families.architecture import Architecture
from autodistil.models.teacher import Teacher, load_teacher
from autodistil.quiet import quiet_transformers
from autodistil.spaces.sub_space import HeadPolicy, SubSpace
from autodistil.superlm.bundle import SuperLM, open_superlm
from autodistil.superlm.distillation import Distillation, distil
from autodistil.text.documents import CorpusSource
from autodistil.text.mixed_sources import open_corpus
from autodistil.text.vocabulary_texts import read_texts
from autodistil.training.settings import TrainingSettings
from students import three

SIZES = ("smallest", "middle", "largest")


def main() -> None:
    """Write the folders."""
    quiet_transformers()
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES)
    arguments = parser.parse_args()
    superlm = open_superlm(arguments.bundle)
    teacher = load_teacher(arguments.teacher)
    teacher = dataclasses.replace(teacher, name=superlm.spec.teacher.name)
    source = open_corpus(arguments.corpus)
    settings = TrainingSettings.model_validate(superlm.spec.provenance.settings)
    untrained = settings.model_copy(update={"tokens": 0})
    space = superlm.spec.space
    whole = distil_again(space, untrained, "untrained", teacher, source, arguments.out)
    for size, student in zip(SIZES, three(space), strict=True):
        if size not in arguments.sizes:
            continue
        extract(superlm, student, arguments.out / f"shared-{student.name}")
        extract(whole, student, arguments.out / f"untrained-{student.name}")
        name = f"alone-{student.name}"
        one = only(student, space)
        alone = distil_again(one, settings, name.lower(), teacher, source, arguments.out)
        extract(alone, student, arguments.out / name)
        print(name, flush=True)


def only(student: Architecture, space: SubSpace) -> SubSpace:
    """A sub-space of one student."""
    return space.model_copy(
        update={
            "layers": (student.layers,),
            "hidden": (student.hidden,),
            "ffn_percent": (student.intermediate * 100 // student.hidden,),
            "heads": () if space.head_policy is HeadPolicy.STOCK else (student.heads,),
            "vocab": () if student.vocab is None else (student.vocab,),
        }
    )


def distil_again(
    space: SubSpace,
    settings: TrainingSettings,
    name: str,
    teacher: Teacher,
    source: CorpusSource,
    out: Path,
) -> SuperLM:
    """Train a SuperLM, or open what an earlier call trained."""
    bundle = out / "bundles" / name
    if not bundle.is_dir():
        texts = read_texts(source, teacher.tokenizer, space.vocab, out / "corpus")
        distil(
            Distillation(
                teacher,
                space,
                texts,
                "the same",
                settings,
                name,
            ),
            out / "work" / name,
            bundle,
            vectors=out / "vectors",
        )
    return open_superlm(bundle)


def extract(superlm: SuperLM, student: Architecture, folder: Path) -> None:
    """Write a student's folder, if it is not there."""
    if not folder.is_dir():
        candidate = next(c for c in superlm.candidates if c.architecture == student)
        extract_student(superlm, candidate, folder)


if __name__ == "__main__":
    main()
