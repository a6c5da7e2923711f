"""A trained network in one file: its weights as safetensors, and beside them all that is needed to use them."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from lowres.errors import UserError
from lowres.files import atomic
from lowres.models.weights import versioned
from lowres.recipes import Precision, Recipe, convert
from lowres.runs.network import recipe_network

METADATA = "lowres"


@dataclass(frozen=True)
class Facts:
    """What stands beside the weights.

    Attributes:
        recipe: What they were trained with.
        recipe_sha256: Its fingerprint.
        classes: Names in the order of the outputs.
        mean: Taken off the pixels (in [0, 1]), per channel.
        std: The pixels are divided by it, per channel.
        precision: Arithmetic they were evaluated in.
        channels_last: Memory layout they were evaluated in.
        epoch: Finished epochs.
    """

    recipe: Recipe
    recipe_sha256: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision
    channels_last: bool
    epoch: int


@dataclass(frozen=True)
class Weights(Facts):
    """A file of weights of ours, read as far as what stands beside the tensors.

    Attributes:
        path: The safetensors file.
    """

    path: Path

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode, on the CPU.

        Raises:
            UserError: The tensors are not those of the recipe's network.
        """
        model = recipe_network(self.recipe, classes=len(self.classes), channels=len(self.mean), load=False)
        try:
            model.load_state_dict(versioned(model, load_file(self.path)))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{self.path} does not fit its own recipe's network: {reason}") from None
        return model.eval()


def write_weights(path: Path, model: nn.Module, facts: Facts) -> None:
    """Writes a network's weights under its own names, with the facts; equal runs give equal files.

    Args:
        path: The file.
        model: On any device, in any memory layout.
        facts: What stands beside them.
    """
    # A copy in the ordinary layout: safetensors knows no other.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with atomic(path) as temporary:
        # One entry: the library puts several in random order. Written here, so that a full disk is an OSError.
        temporary.write_bytes(save(tensors, {METADATA: json.dumps(dataclasses.asdict(facts))}))


def read_weights(path: Path) -> Weights:
    """Reads what stands beside the weights in a file of `write_weights`.

    Raises:
        UserError: The file is missing, damaged, or was not written by lowres.
    """
    try:
        with safe_open(path, framework="pt") as file:
            entry = (file.metadata() or {}).get(METADATA)
    except FileNotFoundError:
        raise UserError(f"no weights file {path}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from None
    if entry is None:
        raise UserError(
            f"{path} lacks what lowres writes beside its weights: "
            "`lowres evaluate` takes weights of another program with --model and --data"
        )
    try:
        values = json.loads(entry)
    except ValueError as error:
        raise UserError(f"{path}: what stands beside its weights is damaged ({error})") from None
    return Weights(**vars(convert(Facts, values, str(path))), path=path)
