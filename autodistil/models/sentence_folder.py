"""What the files of sentence-transformers beside a model say: how tokens become a sentence vector.

The one place that reads them, for teachers, students, and whatever else is scored. They are read
without that package, in all of its spellings, and nothing of a folder is run. What is read here is
plain data; `autodistil.models.sentence_steps` makes vectors of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autodistil.errors import InvalidInput, explain
from autodistil.models.model_files import ModelFiles
from autodistil.spaces.embedding import Pooling, SentenceEmbedding

MODULES = "modules.json"
WEIGHTS = "model.safetensors"
"""Of a Dense module, in its folder."""

_POOLING_FOLDER = "1_Pooling"
_USERS = "config_sentence_transformers.json"
_ENCODER_SETTINGS = (
    "sentence_bert_config.json",
    *(
        f"sentence_{kind}_config.json"
        for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
"""Where sentence-transformers looks for the longest text, the newest name first."""

_OLD_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_KINDS = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")
_ACTIVATION_PLACES = ("torch.nn.modules.activation.", "torch.nn.modules.linear.", "torch.nn.")
ACTIVATIONS = (
    *("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU", "ELU", "SELU", "CELU"),
    *("ReLU6", "Softplus", "Softsign", "Tanhshrink", "Softshrink", "Hardshrink", "Hardtanh"),
    *("Hardsigmoid", "Hardswish", "Mish", "LogSigmoid"),
)
"""Activations without weights that a Dense module may have, by their names in `torch.nn`."""
_UNKNOWN_LENGTH = 1_000_000
"""Tokenizers that know no longest text say a number above this one."""


@dataclass(frozen=True)
class Dense:
    """A Dense module: a linear map, and an activation after it.

    Attributes:
        folder: Its folder inside the model's.
        in_features: Width of its input.
        out_features: Width of its output.
        bias: Whether a bias is added.
        activation: One of `ACTIVATIONS`.
        residual: Whether its input is added to its output, through a map where the widths differ.
    """

    folder: str
    in_features: int
    out_features: int
    bias: bool
    activation: str
    residual: bool


@dataclass(frozen=True)
class Normalize:
    """A module that brings vectors to length 1."""


Step = Dense | Normalize
"""What is done to pooled vectors."""


@dataclass(frozen=True)
class SentenceFolder:
    """How the model in a folder makes sentence vectors.

    Attributes:
        name: The folder, or the model's id on the hub.
        encoder: Folder of the encoder, or of the static table, inside it; empty: the folder itself.
        static: Whether it is a table of word vectors (`StaticEmbedding`) and no Transformer.
        listed: Whether its files say how tokens become a vector; if not, its tokens are averaged.
        pooling: How token vectors become one.
        steps: What is done to pooled vectors, step by step.
        max_length: Tokens that a text may have, special ones included; None: no file says.
        lower_case: Whether texts are lower-cased before they are tokenised.
        prompts: Prompts by their names.
        default_prompt_name: The prompt that goes before every text if none is named.
        includes_prompt: Whether the prompt's tokens are pooled as well.
        similarity: The function that users compare vectors by; None: no file says.
        folders: Folders inside the model's that hold modules.
    """

    name: str
    encoder: str = ""
    static: bool = False
    listed: bool = False
    pooling: Pooling = Pooling.MEAN
    steps: tuple[Step, ...] = ()
    max_length: int | None = None
    lower_case: bool = False
    prompts: Any = None
    default_prompt_name: Any = None
    includes_prompt: bool = True
    similarity: Any = None
    folders: tuple[str, ...] = ()

    @property
    def encoder_path(self) -> Path:
        """Folder of the encoder, of a model in a folder."""
        return Path(self.name) / self.encoder

    @property
    def dense(self) -> tuple[Dense, ...]:
        """Its Dense modules."""
        return tuple(step for step in self.steps if isinstance(step, Dense))

    @property
    def prompt(self) -> str:
        """What goes before every text; empty as a rule.

        Raises:
            InvalidInput: The prompt that is the default is missing, or is left out of the pooling.
        """
        if self.default_prompt_name is None:
            return ""
        prompts = self.prompts if isinstance(self.prompts, dict) else {}
        found = prompts.get(self.default_prompt_name)
        if not isinstance(found, str):
            raise InvalidInput(
                f"{self.name}/{_USERS}: there is no prompt named {self.default_prompt_name!r}, "
                "which is the default; add it to prompts, or set default_prompt_name to null."
            )
        if found:
            self._check_prompts()
        return found

    def check_transformer(self) -> None:
        """Refuse a static table as a teacher.

        Raises:
            InvalidInput: It is one.
        """
        if self.static:
            raise InvalidInput(
                f"{self.name} is a table of word vectors (StaticEmbedding) and has no layers to "
                "cut students from; name a Transformer as the teacher."
            )

    def longest(self, positions: int | None, tokenizers: int | None) -> int | None:
        """Tokens that a text may have; None: nothing limits it.

        Args:
            positions: Tokens that the encoder can read; None: any number.
            tokenizers: What the tokenizer calls its longest text; counts where no file beside the
                model says, as in folders that newer versions of sentence-transformers wrote.
        """
        asked = self.max_length or tokenizers
        known = [length for length in (asked, positions) if length and length < _UNKNOWN_LENGTH]
        return min(known, default=None)

    def embedding(
        self, hidden: int, positions: int, tokenizers: int | None = None
    ) -> SentenceEmbedding | None:
        """How a teacher embeds sentences, and its students do; None if it does not.

        Args:
            hidden: Width of the encoder.
            positions: Tokens that it can read.
            tokenizers: See `longest`.

        Raises:
            InvalidInput: It does something that its students could not do, or a setting is
                impossible.
        """
        if not self.listed:
            return None
        if self.prompts:
            self._check_prompts()
        width = self._check_widths(hidden)
        try:
            embedding = SentenceEmbedding(
                width=width,
                pooling=self.pooling,
                projected=bool(self.dense),
                normalize=bool(self.steps) and isinstance(self.steps[-1], Normalize),
                max_seq_length=self.longest(positions, tokenizers) or positions,
                do_lower_case=self.lower_case,
                prompts=self.prompts or {},
                default_prompt_name=self.default_prompt_name,
                similarity=self.similarity or "cosine",
            )
        except ValidationError as error:
            raise InvalidInput(
                f"{self.name}: the files of sentence-transformers beside it are unusable "
                f"({explain(error)}); mend them."
            ) from error
        self.prompt  # noqa: B018  # refuses a default that is missing
        return embedding

    def _check_prompts(self) -> None:
        if not self.includes_prompt:
            raise InvalidInput(
                f"{self.name} leaves its prompts out when it pools (include_prompt is false), "
                f"which is not supported; delete prompts from {_USERS} to go without them."
            )

    def _check_widths(self, hidden: int) -> int:
        """Width of the vectors, if every Dense module takes what comes before it."""
        width = hidden
        for step in self.dense:
            if step.in_features != width:
                raise InvalidInput(
                    f"{self.name}/{step.folder}: in_features is {step.in_features}; the vectors "
                    f"are {width} wide."
                )
            width = step.out_features
        return width


def read_sentence_folder(name: str | Path) -> SentenceFolder:
    """Read `modules.json` and the files that it names.

    A model without that file is an encoder whose vectors are pooled as `1_Pooling` says if that is
    there, and averaged if not.

    Args:
        name: As of `ModelFiles`.

    Raises:
        InvalidInput: A file is damaged, or the model does something that is not supported; says
            what, and what to do.
    """
    files = ModelFiles(name)
    modules = _list_modules(files)
    if modules is None:
        pooling = files.read(f"{_POOLING_FOLDER}/config.json")
        modules = [("Transformer", "")]
        if pooling is not None:
            modules.append(("Pooling", _POOLING_FOLDER))
    (first, encoder), *rest = modules
    kinds = [kind for kind, _ in rest]
    _check_kinds(files.name, first, kinds)
    pooling_place = next((place for kind, place in rest if kind == "Pooling"), None)
    pooling, includes_prompt = Pooling.MEAN, True
    if pooling_place is not None:
        pooling, includes_prompt = _read_pooling(files, _inside(pooling_place, "config.json"))
    settings = _encoder_settings(files, encoder)
    users = files.read_object(_USERS)
    return SentenceFolder(
        name=files.name,
        encoder=encoder,
        static=first == "StaticEmbedding",
        listed=pooling_place is not None,
        pooling=pooling,
        steps=tuple(_steps(files, rest)),
        max_length=_max_length(files, settings),
        lower_case=bool(settings.get("do_lower_case", False)),
        prompts=users.get("prompts"),
        default_prompt_name=users.get("default_prompt_name"),
        includes_prompt=includes_prompt,
        similarity=users.get("similarity_fn_name"),
        folders=tuple(dict.fromkeys(place for _, place in modules if place)),
    )


def _inside(folder: str, file: str) -> str:
    return f"{folder}/{file}" if folder else file


def _list_modules(files: ModelFiles) -> list[tuple[str, str]] | None:
    """Kind and folder of every module in their order; None if no file lists them."""
    listed = files.read(MODULES)
    if listed is None:
        return None
    where = f"{files.name}/{MODULES}"
    try:
        entries = sorted(listed, key=lambda entry: int(entry["idx"]))
        modules = [
            (str(entry["type"]).rpartition(".")[2], str(entry["path"]).strip("/"))
            for entry in entries
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{where} is no list of modules with idx, path and type; mend or delete it."
        ) from error
    if not modules:
        raise InvalidInput(f"{where} lists no modules; mend or delete it.")
    for _, place in modules:
        if ".." in Path(place).parts:
            raise InvalidInput(f"{where}: the path {place!r} leads out of the folder.")
    return modules


def _check_kinds(name: str, first: str, kinds: Sequence[str]) -> None:
    where = f"{name}/{MODULES}"
    if first not in ("Transformer", "StaticEmbedding"):
        raise InvalidInput(
            f"{where}: the first module is {first}; supported are Transformer and StaticEmbedding."
        )
    if unknown := [kind for kind in kinds if kind not in _KINDS[1:]]:
        raise InvalidInput(
            f"{where}: the module {unknown[0]} is not supported; supported are "
            f"{', '.join(_KINDS)}. A model without it has to be trained for that."
        )
    wanted = 0 if first == "StaticEmbedding" else 1
    if not kinds and wanted:
        return  # an encoder that makes no sentence vectors
    if kinds.count("Pooling") != wanted or (wanted and kinds[0] != "Pooling"):
        raise InvalidInput(
            f"{where}: exactly one Pooling must follow the Transformer, and none a StaticEmbedding."
        )


def _read_pooling(files: ModelFiles, file: str) -> tuple[Pooling, bool]:
    """How token vectors become one, and whether those of the prompt are among them."""
    where = f"{files.name}/{file}"
    if files.find(file) is None:
        raise InvalidInput(f"{where}, which says how tokens are pooled, is missing.")
    config = files.read_object(file)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [_OLD_POOLINGS.get(key, key) for key, value in config.items() if _set(key, value)]
        modes = modes or ["mean"]  # as in sentence-transformers, where no flag is set
    modes = list(modes) if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in list(Pooling):
        raise InvalidInput(
            f"{where}: pooling by {' and '.join(map(str, modes)) or 'nothing'} is not supported; "
            f"{', '.join(Pooling)} are, one alone."
        )
    return Pooling(modes[0]), config.get("include_prompt", True) is not False


def _set(key: str, value: object) -> bool:
    return key.startswith("pooling_mode_") and bool(value)


def _encoder_settings(files: ModelFiles, encoder: str) -> dict[str, Any]:
    for file in _ENCODER_SETTINGS:
        if files.find(_inside(encoder, file)) is not None:
            return files.read_object(_inside(encoder, file))
    return {}


def _max_length(files: ModelFiles, settings: dict[str, Any]) -> int | None:
    length = settings.get("max_seq_length")
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 3:
        raise InvalidInput(
            f"{files.name}/{_ENCODER_SETTINGS[0]}: max_seq_length {length!r} is no number of "
            "tokens above 2; mend it, or leave it out."
        )
    return length


def _steps(files: ModelFiles, modules: Sequence[tuple[str, str]]) -> list[Step]:
    steps: list[Step] = []
    for kind, place in modules:
        if kind == "Normalize":
            steps.append(Normalize())
        elif kind == "Dense":
            steps.append(_read_dense(files, place))
    return steps  # Dropout does nothing to a model that is not trained


def _read_dense(files: ModelFiles, place: str) -> Dense:
    where, config = f"{files.name}/{place}/config.json", files.read_object(f"{place}/config.json")
    # Left out, it is a tanh. A name is looked up in a list, and never imported.
    full = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    name = str(full)
    for prefix in _ACTIVATION_PLACES:
        name = name.removeprefix(prefix)
    if name == full or name not in ACTIVATIONS:
        raise InvalidInput(
            f"{where}: the activation {full!r} is not supported; those of torch.nn without "
            f"weights are: {', '.join(ACTIVATIONS)}."
        )
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise InvalidInput(
                f"{where}: {key} {config[key]!r} is not supported; a Dense module must map the "
                "sentence_embedding."
            )
    sizes = [config.get(key) for key in ("in_features", "out_features")]
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise InvalidInput(f"{where}: in_features and out_features must be widths.")
    return Dense(
        place,
        config["in_features"],
        config["out_features"],
        bool(config.get("bias", True)),
        name,
        bool(config.get("use_residual", False)),
    )
