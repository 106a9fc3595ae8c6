"""A bundle and an architecture in, the student's tensors out.

Only the bytes of the slices are read: layers that the student does not run, and rows and columns
beyond its widths, stay on disk.
"""

from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from autodistil.errors import InvalidBundle, InvalidInput
from autodistil.families.architecture import Architecture
from autodistil.spaces.map_tensors import map_name
from autodistil.superlm.bundle import SuperLM

if TYPE_CHECKING:
    from torch import Tensor

    from autodistil.models.elastic import ElasticEncoder


def slice_student(superlm: SuperLM, architecture: Architecture) -> "dict[str, Tensor]":
    """Tensors of a student in fp32, by the names of `EncoderConfig.shapes`, without its map.

    Raises:
        InvalidInput: The architecture is not a student of this SuperLM.
        InvalidBundle: The weights vanished or changed since the bundle was opened.
    """
    if architecture not in superlm.spec.space:
        raise InvalidInput(
            f"{architecture.name} is not a student of {superlm.spec.reference}; "
            f"its sub-space is {superlm.spec.space.model_dump_json()}."
        )
    from autodistil.models.cutting import cut

    spec = superlm.spec
    kept, own = spec.kept_layers[architecture.layers], spec.encoder_of(architecture)
    shapes, whole = own.shapes(architecture), spec.stored_encoder.shapes(spec.space.largest)
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(superlm.weights_path, framework="pt") as file:
            for name, stored in own.tensors(architecture.layers).items():
                source = own.source(name, kept)
                part = file.get_slice(source)
                view = cut(part.__getitem__, whole[source][0], stored, shapes[name])
                if view.shape != shapes[name]:
                    raise InvalidBundle(f"{superlm.spec.reference}: {source} changed its shape.")
                tensors[name] = view.float().contiguous()
    except (SafetensorError, OSError) as error:
        raise InvalidBundle(f"The weights of {superlm.spec.reference}: {error}.") from error
    return tensors


def slice_map(superlm: SuperLM, architecture: Architecture) -> "dict[str, Tensor] | None":
    """Tensors of a student's map to the teacher's width in fp32, by the names of `map_shapes`; None
    if it has no map.

    Raises:
        InvalidBundle: The weights vanished or changed since the bundle was opened.
    """
    if superlm.spec.map_width is None:
        return None
    name = map_name(architecture)
    try:
        with safe_open(superlm.weights_path, framework="pt") as file:
            return {
                f"linear.{part}": file.get_tensor(f"{name}.{part}").float().contiguous()
                for part in ("weight", "bias")
            }
    except (SafetensorError, OSError) as error:
        raise InvalidBundle(f"The weights of {superlm.spec.reference}: {error}.") from error


def load_elastic(superlm: SuperLM) -> "ElasticEncoder":
    """The whole SuperLM in fp32, in evaluation mode: what slices are checked against.

    Raises:
        InvalidBundle: The weights vanished or changed since the bundle was opened.
    """
    from safetensors.torch import load_file

    from autodistil.models.elastic import ElasticEncoder

    try:
        tensors = {name: tensor.float() for name, tensor in load_file(superlm.weights_path).items()}
    except (SafetensorError, OSError) as error:
        raise InvalidBundle(f"The weights of {superlm.spec.reference}: {error}.") from error
    encoder = ElasticEncoder(tensors, superlm.spec.stored_encoder, superlm.spec.kept_layers)
    return encoder.requires_grad_(False).eval()
