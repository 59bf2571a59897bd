"""``quasicrit record``: the activity of a user's own torch model."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from quasicrit.errors import RecordingError
from quasicrit.networks import record
from quasicrit.networks.device import resolve_device
from quasicrit.stages.user_table import answer

__all__ = ["record_report"]


def record_report(
    model: str,
    inputs: str,
    out: str,
    *,
    layers: str | None = None,
    types: str | None = None,
    reduce: Sequence[str],
    shape: str | None = None,
    weights: str | None = None,
    moments: str | None = None,
    units: str | None = None,
    batch_size: int = 64,
    net: int = 0,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Import and make the model that ``model`` (MODULE:FACTORY) names, record it (``networks.record``), and say what was recorded.

    MODULE is imported with the current directory on the path; FACTORY is a function without arguments that returns a module,
    or a module. Its random numbers start from ``seed``. ``weights``: a safetensors file that must fit the model exactly.

    ``device``: as for ``resolve_device``.

    Raises RecordingError where this fails, DeviceError for a device that is not there, and as ``networks.record``.
    """
    place = resolve_device(device)
    sizes = _sizes(shape)
    with _current_directory(), _progress() as progress:
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            network = _made(model)
        if weights is not None:
            _load(network, weights)
        made = record(
            network,
            inputs,
            out,
            layers=layers,
            types=types,
            reduce=reduce,
            moments=moments,
            units=units,
            shape=sizes,
            batch_size=batch_size,
            net=net,
            device=place,
            seed=seed,
            progress=progress,
        )
    notes = []
    if made.not_seen:
        notes.append("functional operations (not_seen) are no layers; make them modules of their own to record them")
    if made.not_called:
        notes.append(f"{len(made.not_called)} of the chosen modules were never called (not_called)")
    if made.n_dead and "log_m" in reduce:
        notes.append(
            f"every unit is 0 at {made.n_dead} of {made.n_inputs * len(made.layers)} layers of an input: ln m is -inf "
            "there, which detect refuses; leave those layers out, or use mean_abs"
        )
    return answer(
        {
            "n_layers": len(made.layers),
            "n_inputs": made.n_inputs,
            "bytes": made.bytes,
            "layers": [asdict(call) for call in made.layers],
            "not_seen": [asdict(entry) for entry in made.not_seen],
            "not_called": list(made.not_called),
            "device": made.device,
            "out": out,
            "notes": notes,
        }
    )


def _sizes(shape: str | None) -> list[int] | None:
    if shape is None:
        return None
    try:
        sizes = [int(part) for part in shape.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise RecordingError(f"shape = {shape!r} is not understood; give whole numbers joined by commas, as 3,32,32")
    return sizes


@contextlib.contextmanager
def _current_directory() -> Iterator[None]:
    """The current directory is where modules are looked for first, as for ``python -m``."""
    before = list(sys.path)
    sys.path.insert(0, "")
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _made(spec: str) -> nn.Module:
    module, _, factory = spec.partition(":")
    if not module or not factory.isidentifier():
        raise RecordingError(f"model = {spec!r} is not understood; give MODULE:FACTORY, as mynets:resnet")
    # A user's module may end in any way: what it raises is told in one sentence, and kept as the cause.
    try:
        home = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise RecordingError(f"the module {module!r} cannot be imported: {_said(error)}") from error
    if not hasattr(home, factory):
        raise RecordingError(
            f"the module {module!r} has no {factory!r}; name a function that returns a torch.nn.Module"
        )
    made = getattr(home, factory)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise RecordingError(
                f"{spec} is {type(made).__name__}; it must be a function that returns a torch.nn.Module"
            )
        try:
            made = made()
        except (Exception, SystemExit) as error:
            raise RecordingError(f"{spec}() fails without arguments: {_said(error)}") from error
    if not isinstance(made, nn.Module):
        raise RecordingError(f"{spec}() returns {type(made).__name__}; it must return a torch.nn.Module")
    return made


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}".rstrip(": ")


def _load(model: nn.Module, path: str) -> None:
    """Load safetensors; every tensor of the model and of the file must have its counterpart."""
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        missing, unexpected = load_model(model, path, strict=False)
    except FileNotFoundError:
        raise RecordingError(f"{path}: there is no such file") from None
    except SafetensorError as error:
        raise RecordingError(f"{path}: the file is no safetensors, or damaged ({error})") from None
    except RuntimeError as error:
        # torch lists every tensor of another shape, one a line, below a headline.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RecordingError(f"{path}: the weights do not fit the model: {lines[-1][:300]}") from None
    for what, names in (("lacks", sorted(missing)), ("has, beyond the model's,", sorted(unexpected))):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise RecordingError(f"{path}: the file {what} {', '.join(names[:5])}{more}; it must fit the model exactly")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """A line with the number of inputs done, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("recording") as status:
        yield lambda done: status.update(f"recorded {done} inputs")
