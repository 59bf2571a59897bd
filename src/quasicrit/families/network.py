"""What every architecture has in a configuration, and what a family says of its networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, model_validator

from quasicrit.values import Count, Model, NonNegative, Positive

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Definition", "ImageTask", "Network", "Size", "network_members"]

Definition = Literal["A", "B", "C"]
ImageTask = Literal["digits", "mnist", "fashion_mnist", "cifar10"]


@dataclass(frozen=True)
class Size:
    """A network by what its passes cost: multiplications of one sample, parameters, units of all layers, units of the stream (B)."""

    multiplications: float
    parameters: float
    units: float
    stream: float


class Network(Model):
    """What every architecture has: a name, images of ``image`` pixels a side, an initialisation, what is measured on it.

    ``definitions``: of avalanches (A relevance walk, B unit stream, C layer activity). ``trained``: measured after training as well.
    ``vary``: one option and its values; each makes a network of its own, and trends are drawn over them. ``windows``: its own windows of
    durations by definition. ``stage``: of a resnet, where units are followed (B).

    A family is a subclass whose ``family`` is its name. It adds its options, and says of its networks: ``recorded``, the types of
    modules at which activity is recorded, joined by commas ({activation}: those of all activations); ``stream``, the pattern of the
    modules whose outputs have one shape and follow each other, where units are followed ({stage}: the entry's); ``theory``, the
    activation whose mean field says what a critical sigma_w is, None if the option ``activation`` names it; ``kept``, bytes per unit
    and sample of a batch that training keeps for the gradient; ``lineages``, whether ``networks.lineages`` can draw some of them (A).
    """

    recorded: ClassVar[str]
    stream: ClassVar[str]
    theory: ClassVar[str | None] = None
    kept: ClassVar[float] = 24.0
    lineages: ClassVar[bool] = False

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    family: str
    task: ImageTask | None = None
    image: Count = 8
    init: Literal["gaussian", "orthogonal"] = "gaussian"
    sigma_w: Positive | Literal["critical"] = "critical"
    sigma_b: NonNegative = 0.0
    definitions: Annotated[tuple[Definition, ...], Field(min_length=1)]
    trained: bool = True
    nulls: bool = True
    nets: Annotated[int, Field(ge=6)] | None = None
    training_steps: Count | None = None
    learning_rate: Positive | None = None
    windows: dict[Definition, tuple[int, int]] = Field(default={})
    vary: dict[str, tuple[Any, ...]] = Field(default={})

    @staticmethod
    def build(shape: tuple[int, int, int], classes: int, **options: Any) -> nn.Module:
        """The network of these options for inputs (batch, *shape), shape (channels, height, width), with outputs (batch, classes)."""
        raise TypeError("each family has its own")

    def layers(self, definition: Definition) -> int:
        """Layers in time of a definition; for C, where all kinds of layers count, at least as many."""
        raise TypeError("each family has its own")

    def size(self, shape: tuple[int, int, int]) -> Size:
        """What the passes of inputs of ``shape`` cost."""
        raise TypeError("each family has its own")

    def misfit(self, shape: tuple[int, int, int]) -> str | None:
        """Why the options cannot take inputs of ``shape``, in one sentence; None if they can."""
        return None

    def options(self) -> dict[str, Any]:
        """The options that the family's network is built with."""
        return self.model_dump(exclude=set(Network.model_fields))

    @model_validator(mode="after")
    def _no_lineages(self) -> Network:
        if "A" in self.definitions and not self.lineages:
            raise ValueError("definition A follows units of rectified convolutions; leave A out")
        return self

    @model_validator(mode="after")
    def _one_option(self) -> Network:
        if len(self.vary) > 1:
            raise ValueError(f"vary names {', '.join(self.vary)}: give one option")
        for option, values in self.vary.items():
            if option not in self.options():
                raise ValueError(
                    f"vary: {option!r} is no option of a {self.family}; they are {', '.join(self.options())}"
                )
            if len(values) < 2:
                raise ValueError(f"vary: {option} needs two values or more")
        return self


def network_members(net: Network) -> list[tuple[str, Network]]:
    """The networks of an entry by their label: one, or one for each value of what varies."""
    if not net.vary:
        return [(net.name, net)]
    ((option, values),) = net.vary.items()
    made = []
    for value in values:
        shown = "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
        fields = {**net.model_dump(), option: value, "vary": {}}
        try:
            made.append((f"{net.name}, {option} = {shown}", type(net).model_validate(fields)))
        except ValidationError as error:
            raise ValueError(f"networks.{net.name}: vary.{option} = {value!r}: {error.errors()[0]['msg']}") from None
    return made
