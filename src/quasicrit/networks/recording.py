"""Record the activity of any torch model, layer by layer (layer = time), while it stays as it is.

Forward hooks on chosen modules see their outputs. What is kept of an output is reduced on its device (``reductions``) and
streamed to Parquet, one row group per batch, so that memory does not depend on the number of inputs.
"""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import itertools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from quasicrit.errors import QuasicritError, RecordingError
from quasicrit.networks.device import Chunker, device_details, full_float32, model_device, short_of_memory
from quasicrit.networks.inputs import Inputs, input_batches
from quasicrit.networks.reductions import ActiveRule, Moments, quantiles, reductions
from quasicrit.tables import SCHEMAS, TableWriter, provenance, recorded_schema

__all__ = ["REDUCTIONS", "LayerCall", "Recorder", "Recording", "UnseenOperation", "record"]

#: What can be kept of one input at one layer, besides quantile:p.
REDUCTIONS = ("log_m", "mean_abs", "active_fraction")

#: The model's own name in messages and tables, where torch has an empty one.
_ROOT = "(model)"
#: The child under which torch.nn.utils.parametrize keeps what makes a weight.
_MAKES_WEIGHTS = "parametrizations"
_RELU = (nn.ReLU, nn.ReLU6)
#: Names in a message; more are counted.
_FEW = 10
#: Bytes of one array of Arrow's binary type stay below its 2 GiB.
_MOST_BYTES = 1 << 30

#: Functional operations that change values. Names as torch has them, without the underscores of operators and in-place forms.
_OPERATIONS = frozenset(
    """
    add radd iadd sub subtract rsub isub mul multiply rmul imul div divide truediv rtruediv itruediv true_divide neg negative
    abs absolute pow rpow square sqrt rsqrt exp expm1 log log1p log2 log10 sin cos erf reciprocal maximum minimum clamp
    clamp_min clamp_max clip where lerp addcmul addcdiv cumsum cumprod sum mean amax amin max min prod std var logsumexp norm
    cat concat concatenate stack hstack vstack matmul rmatmul mm bmm mv dot addmm addbmm baddbmm addmv einsum tensordot linear
    bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish softplus softsign softmax log_softmax softmin gumbel_softmax
    sigmoid logsigmoid tanh hardtanh hardsigmoid hardswish hardshrink softshrink tanhshrink threshold glu
    batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm normalize
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d interpolate
    embedding embedding_bag scaled_dot_product_attention multi_head_attention_forward
    """.split()  # noqa: SIM905
)
#: The operators' forms with the operands exchanged or in place are the same operation.
_SAME = {f"{form}{name}": name for form in "ri" for name in ("add", "sub", "mul", "truediv", "pow", "matmul")}


@dataclass(frozen=True)
class LayerCall:
    """One call of a chosen module. ``layer``: its number in the forward pass, from 1. ``call``: 1 for the module's first call,
    2 for its second. ``type``: the module's class. ``shape``: of its output for one input of the first batch. ``active``:
    which units count as active."""

    layer: int
    name: str
    call: int
    type: str
    shape: tuple[int, ...]
    active: str


@dataclass(frozen=True)
class UnseenOperation:
    """An operation that no hook sees, since no chosen module made it: ``operation``, ``count`` times in the module ``where``."""

    where: str
    operation: str
    count: int


@dataclass(frozen=True)
class Recording:
    """What was recorded. ``not_called``: chosen modules that the forward pass never called. ``n_dead``: (input, layer) pairs
    of which every unit is 0, so that ln m is −inf. ``bytes``: of all files written."""

    layers: tuple[LayerCall, ...]
    not_seen: tuple[UnseenOperation, ...]
    not_called: tuple[str, ...]
    n_inputs: int
    n_dead: int
    device: str
    bytes: int


class Recorder:
    """A context in which a model's chosen layers are recorded; the model leaves it as it came.

    Within, every module is in eval mode, gradients are off and torch's random numbers start from ``seed``; at the end modes,
    buffers, random state and hooks are as before, after an error too. ``layers``: patterns of module names, joined by commas
    (``*``, ``?``; a leading ``!`` leaves out). ``types``: names of classes, joined by commas; those derived from them count.
    Default: all modules without children. ``reduce``: any of log_m (ln of the mean of x² over units), mean_abs,
    active_fraction (share of |x| > rms/10; after ReLU and ReLU6, of x > 0), and quantile:p. ``moments``: keep n, mean and
    Σ(x − mean)² of each unit (``unit_moments``). ``on_units``: called with layer, number of the first input and the
    activations (inputs, units), float32, of each layer of each batch. Transformer layers run without torch's fast path, which
    calls none of their parts.

    Raises RecordingError for patterns, types and reductions that fit nothing. After an error a recorder is of no further use.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: str | None = None,
        types: str | None = None,
        reduce: Sequence[str] = REDUCTIONS,
        moments: bool = False,
        on_units: Callable[[int, int, NDArray[np.float32]], None] | None = None,
        seed: int = 0,
    ) -> None:
        self._model = model
        self._names, self._levels = _columns(reduce)
        self._chosen = _chosen(model, layers, types)
        self._keep_moments = moments
        self._on_units = on_units
        self._seed = seed
        self._stack = contextlib.ExitStack()
        self._moments: list[Moments] = []
        self._unseen: _Unseen | None = None
        # Of the batch that is being measured: what its layers gave, and how often each module was called.
        self._found: list[Tensor] = []
        self._calls: Counter[str] = Counter()
        self._size = 0
        # Activations for ``on_units`` of a batch that may have to be repeated; None where it cannot.
        self._waiting: list[tuple[int, int, NDArray[np.float32]]] | None = None
        self.layers: list[LayerCall] = []
        self.n_inputs = 0
        self.n_dead = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the reductions as columns of a table (quantile:0.5 is quantile_0.5)."""
        return self._names

    @property
    def device(self) -> torch.device:
        """Where the model lies, and its inputs belong."""
        return model_device(self._model)

    @property
    def not_seen(self) -> tuple[UnseenOperation, ...]:
        """Operations of the first batch that no hook saw."""
        counts = {} if self._unseen is None else self._unseen.counts
        return tuple(UnseenOperation(where, name, n) for (where, name), n in counts.items() if n)

    @property
    def not_called(self) -> tuple[str, ...]:
        """Chosen modules that the forward pass never called."""
        called = {call.name for call in self.layers}
        return tuple(name for name, _ in self._chosen if name not in called)

    def __enter__(self) -> Recorder:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_as_it_was(self._model))
            # Not torch.manual_seed, which reaches devices that take no part and are not forked.
            device = self.device
            stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
            torch.default_generator.manual_seed(self._seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(self._seed)
            stack.enter_context(full_float32(device))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(_without_fast_path())
            for name, module in self._chosen:
                handle = module.register_forward_hook(self._hook(name))
                stack.callback(handle.remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def measure(self, batch: Tensor) -> NDArray[np.float32]:
        """Pass ``batch`` (inputs, …), on the model's device, through it: reductions (inputs, layers, ``columns``).

        Layers are in the order of their calls. Raises RecordingError if the model cannot take the batch or changes it, an activation is NaN or infinite, a layer's
        output is not one floating tensor (inputs, …), or the layers are called in another order than before. An error of torch
        that a GPU's memory is short comes as it is: the recorder is then as before, and may be given smaller batches.
        """
        self._found, self._calls, self._size = [], Counter(), len(batch)
        with self._whole(batch):
            if batch.is_inference():
                # Such tensors do not tell whether they were changed.
                batch = batch.clone()
            version = batch._version
            self._run(batch)
            if batch._version != version:
                raise RecordingError(
                    "the model changes its input in place, so that a second forward pass would differ; give it inplace=False "
                    "in its first layers, or a clone of the input"
                )
            if not self._found:
                raise RecordingError(
                    f"none of the chosen layers is called in a forward pass ({_few([name for name, _ in self._chosen])}); "
                    "choose others, or give the model as it is before torch.compile"
                )
            if len(self._found) < len(self.layers):
                missing = self.layers[len(self._found)]
                raise self._other_order(len(self._found), f"the end, where {missing.name} was before")
            # The only transfer from the device: (layers, 3 + quantiles, inputs).
            values = torch.stack([one.to(self._found[0].device) for one in self._found]).cpu().numpy()
        self._check(values[:, 0])
        with np.errstate(divide="ignore"):
            log_m = np.log(values[:, 0])
        self.n_dead += int(np.isneginf(log_m).sum())
        self.n_inputs += len(batch)
        made = {"log_m": log_m, "mean_abs": values[:, 1], "active_fraction": values[:, 2]}
        made.update({_column(level): values[:, 3 + index] for index, level in enumerate(self._levels)})
        return np.stack([made[name].T.astype(np.float32) for name in self._names], axis=2)

    @contextlib.contextmanager
    def _whole(self, batch: Tensor) -> Iterator[None]:
        """On a GPU, a batch for which memory is short leaves no trace."""
        if not _may_run_short(batch.device):
            yield
            return
        before, first = copy.deepcopy(self._moments), self.n_inputs == 0
        self._waiting = []
        try:
            yield
        except RuntimeError as error:
            if short_of_memory(error):
                self._moments, self._found = before, []
                if first:
                    self.layers, self._unseen = [], None
            raise
        if self._on_units is not None:
            for layer, number, units in self._waiting:
                self._on_units(layer, number, units)

    def unit_moments(self) -> Iterator[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]]:
        """Yield layer, n, and each unit's mean and variance (divisor n − 1) over all inputs so far.

        Raises RecordingError for fewer than 2 inputs.
        """
        if self.n_inputs < 2:
            raise RecordingError(
                "a variance over inputs needs at least 2 inputs, but there is 1; give more, or no moments"
            )
        for layer, moments in enumerate(self._moments, 1):
            yield (
                layer,
                moments.count,
                moments.mean.cpu().numpy(),
                (moments.squares / (moments.count - 1)).cpu().numpy(),
            )

    def _run(self, batch: Tensor) -> None:
        """One forward pass; the first one also lists what hooks do not see."""
        try:
            if self._unseen is None:
                self._unseen = _Unseen(self._model, {id(module) for _, module in self._chosen})
                with self._unseen:
                    self._model(batch)
            else:
                self._model(batch)
        except (QuasicritError, OSError):
            # What a hook found, or a full disk: nothing that the inputs did.
            raise
        except Exception as error:
            if short_of_memory(error):
                raise
            raise RecordingError(
                f"the model cannot take inputs of shape {_shape(batch.shape)} and type {batch.dtype}: "
                f"{type(error).__name__}: {_first_line(error)}"
            ) from error

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def see(module: nn.Module, args: Any, output: Any) -> None:
            if self._unseen is not None:
                self._unseen.resting = True
            self._see(name, module, output)
            if self._unseen is not None:
                self._unseen.resting = False
                self._unseen.seen(output)

        return see

    def _see(self, name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise RecordingError(
                f"layer {name} ({type(module).__name__}) returns a {type(output).__name__}, not a tensor; choose layers "
                f"inside it, or leave it out with !{name}"
            )
        if output.dim() == 0 or len(output) != self._size or not output.numel():
            raise RecordingError(
                f"layer {name} ({type(module).__name__}) returns the shape {_shape(output.shape)} for a batch of "
                f"{self._size}; its first dimension must be the batch: leave it out with !{name}"
            )
        if not output.is_floating_point():
            raise RecordingError(
                f"layer {name} ({type(module).__name__}) returns {output.dtype}, not real numbers; leave it out with !{name}"
            )
        self._calls[name] += 1
        index = len(self._found)
        # A view, unless the units lie in another order in memory than in the tensor.
        x = output.detach().reshape(self._size, -1)
        rule: ActiveRule = "none"
        if "active_fraction" in self._names:
            rule = "positive" if isinstance(module, _RELU) else "tenth"
        if self.n_inputs == 0:
            active = "x > 0" if isinstance(module, _RELU) else "|x| > rms/10"
            shape = tuple(output.shape[1:])
            self.layers.append(LayerCall(index + 1, name, self._calls[name], type(module).__name__, shape, active))
            if self._keep_moments:
                self._moments.append(Moments(x.shape[1], x.device))
        elif index >= len(self.layers) or self.layers[index].name != name:
            before = self.layers[index].name if index < len(self.layers) else "the end"
            raise self._other_order(index, f"{name}, where {before} was before")
        moments = self._moments[index] if self._keep_moments else None
        if moments is not None and len(moments.mean) != x.shape[1]:
            raise RecordingError(
                f"layer {name} has {x.shape[1]} units in the batch from input {self.n_inputs} on, and {len(moments.mean)} "
                "before; moments of units need the same shape in every batch"
            )
        found = reductions(x, rule, moments)
        if self._levels:
            found = torch.cat([found, quantiles(x, self._levels)])
        self._found.append(found)
        if self._on_units is not None:
            # A copy: the next layer may work in place.
            units = x.to("cpu", torch.float32, copy=True).numpy()
            if self._waiting is None:
                self._on_units(index + 1, self.n_inputs, units)
            else:
                self._waiting.append((index + 1, self.n_inputs, units))

    def _other_order(self, index: int, what: str) -> RecordingError:
        return RecordingError(
            f"the layers are not called in the same order in every batch: in the one from input {self.n_inputs} on, call "
            f"{index + 1} is {what}; choose layers that every forward pass calls alike"
        )

    def _check(self, squares: NDArray[np.float64]) -> None:
        """Raise RecordingError unless the mean squares (layers, inputs) are finite."""
        bad = np.argwhere(~np.isfinite(squares))
        if len(bad):
            layer, which = int(bad[0][0]), int(bad[0][1])
            call = self.layers[layer]
            raise RecordingError(
                f"layer {call.layer} ({call.name}, call {call.call}) holds "
                f"{'NaN' if np.isnan(squares[layer, which]) else 'infinity'} for input {self.n_inputs + which} (counted from "
                "0); look at the scale of the inputs and weights, or leave that input out"
            )


def record(
    model: nn.Module,
    inputs: Inputs,
    out: Path | str,
    *,
    layers: str | None = None,
    types: str | None = None,
    reduce: Sequence[str] = REDUCTIONS,
    moments: Path | str | None = None,
    units: Path | str | None = None,
    shape: Sequence[int] | None = None,
    batch_size: int = 64,
    net: int = 0,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Recording:
    """Record ``model``'s activity for ``inputs`` to the Parquet file ``out``: one row per input and layer, schema "recorded".

    ``layers``, ``types``, ``reduce``, ``seed``: as for ``Recorder``. ``inputs``, ``shape``, ``batch_size``: as for
    ``input_batches``. ``moments``: file for mean and variance of each unit over all inputs (schema "unit_moments").
    ``units``: file for the activations themselves ("recorded_units"; one row group per layer and batch). ``net``: number of
    the network in the column ``net``. ``device``: where the model is moved to and, at the end, back from; None: it stays.
    ``progress`` is called with the number of inputs done. A file's provenance lists the layers and what is not seen.

    The rows of an input follow each other, so ``quasicrit detect out --trajectory net,input --threshold median`` takes the
    file. Where a GPU's memory is short, batches are halved. Raises RecordingError as those do, TableError for inputs, and DeviceError
    for a GPU that holds no single input; then no file is left.
    """
    _check_model(model)
    _check_paths(out, moments, units, inputs)
    if not 0 <= net < 2**31:
        raise RecordingError(f"net = {net} is impossible; it must be a whole number from 0 to {2**31 - 1}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_moved(model, device))
        home = model_device(model)
        keep_units = None
        writers = []
        details = provenance(made_by="quasicrit record", net=net, seed=seed, **device_details(home))
        if units is not None:
            keeper = stack.enter_context(TableWriter(units, SCHEMAS["recorded_units"], details))
            writers.append(keeper)

            def keep_units(layer: int, first: int, x: NDArray[np.float32]) -> None:
                _write_units(keeper, net, layer, first, x)

        recorder = Recorder(
            model,
            layers=layers,
            types=types,
            reduce=reduce,
            moments=moments is not None,
            on_units=keep_units,
            seed=seed,
        )
        writer = stack.enter_context(TableWriter(out, recorded_schema(recorder.columns), details))
        writers.append(writer)
        # Batches go whole, as they are given, but for a GPU that holds less.
        pieces = Chunker(sys.maxsize, "input")
        # Inside: an iterable of batches may draw random numbers.
        stack.enter_context(recorder)
        for batch in input_batches(inputs, shape=shape, batch_size=batch_size, dtype=_model_dtype(model)):
            for values in pieces.run(batch, lambda piece: recorder.measure(piece.to(home))):
                n, n_layers, _ = values.shape
                first = recorder.n_inputs - n
                writer.write(
                    {
                        "net": np.full(n * n_layers, net, np.int32),
                        "input": np.repeat(np.arange(first, first + n, dtype=np.int32), n_layers),
                        "layer": np.tile(np.arange(1, n_layers + 1, dtype=np.int32), n),
                        **{name: values[:, :, index].ravel() for index, name in enumerate(recorder.columns)},
                    }
                )
                if progress is not None:
                    progress(recorder.n_inputs)
        listed = {
            "layers": [asdict(call) for call in recorder.layers],
            "not_seen": [asdict(entry) for entry in recorder.not_seen],
        }
        if moments is not None:
            writers.append(stack.enter_context(TableWriter(moments, SCHEMAS["unit_moments"], details)))
            for layer, count, mean, variance in recorder.unit_moments():
                writers[-1].write(
                    {
                        "layer": np.full(len(mean), layer, np.int32),
                        "unit": np.arange(len(mean), dtype=np.int32),
                        "n": np.full(len(mean), count),
                        "mean": mean,
                        "variance": variance,
                    }
                )
        for made in writers:
            made.details.update(listed)
    return Recording(
        layers=tuple(recorder.layers),
        not_seen=recorder.not_seen,
        not_called=recorder.not_called,
        n_inputs=recorder.n_inputs,
        n_dead=recorder.n_dead,
        device=str(home),
        bytes=sum(Path(path).stat().st_size for path in (out, moments, units) if path is not None),
    )


def _write_units(writer: TableWriter, net: int, layer: int, first: int, x: NDArray[np.float32]) -> None:
    step = max(1, _MOST_BYTES // (4 * x.shape[1]))
    for begin in range(0, len(x), step):
        part = np.ascontiguousarray(x[begin : begin + step], "<f4")
        offsets = np.arange(len(part) + 1, dtype=np.int32) * (4 * x.shape[1])
        binary = pa.Array.from_buffers(pa.binary(), len(part), [None, pa.py_buffer(offsets), pa.py_buffer(part)])
        numbers = np.arange(first + begin, first + begin + len(part), dtype=np.int32)
        writer.write({"net": net, "input": numbers, "layer": layer, "units": binary})


# What hooks do not see -------------------------------------------------------------------------------------


class _Unseen(TorchFunctionMode):
    """Counts functional operations by the module that makes them: ``counts[where, operation]``.

    Those of torch's own modules without children, and of chosen modules without children, are part of what a hook sees.
    An operation whose result is what a chosen module returns is seen too.
    """

    def __init__(self, model: nn.Module, chosen: set[int]) -> None:
        super().__init__()
        self._model, self._chosen = model, chosen
        self._inside: list[str | None] = []
        self._last: tuple[weakref.ref[Tensor], tuple[str, str]] | None = None
        self._handles: list[Any] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        #: True while a hook is at work with operations of its own.
        self.resting = False

    def __enter__(self) -> _Unseen:
        for name, module in self._model.named_modules():
            whole = _is_leaf(module) and (id(module) in self._chosen or type(module).__module__.startswith("torch.nn."))
            where = None if whole else name or _ROOT
            self._handles.append(
                # First of all: what other hooks do with a weight, say, is part of their module.
                module.register_forward_pre_hook(
                    lambda module, args, where=where: self._inside.append(where), prepend=True
                )
            )
            self._handles.append(module.register_forward_hook(lambda module, args, output: self._leave()))
        super().__enter__()
        return self

    def _leave(self) -> None:
        self._inside.pop()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for handle in self._handles:
            handle.remove()
        self._last = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        where = self._inside[-1] if self._inside else None
        first = result[0] if isinstance(result, tuple) and result else result
        if where is not None and not self.resting and isinstance(first, Tensor) and first.is_floating_point():
            name = getattr(function, "__name__", "").strip("_")
            if name in _OPERATIONS:
                key = (where, _SAME.get(name, name))
                self.counts[key] += 1
                self._last = (weakref.ref(first), key)
        return result

    def seen(self, output: Tensor) -> None:
        """A chosen module returned ``output``: the operation that made it is seen after all."""
        if self._last is not None and self._last[0]() is output:
            self.counts[self._last[1]] -= 1
            self._last = None


# The model and its layers ----------------------------------------------------------------------------------


def _model_dtype(model: nn.Module) -> torch.dtype:
    floating = (parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
    return next(floating, torch.get_default_dtype())


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise RecordingError(f"the model is {type(model).__name__}; it must be a torch.nn.Module")
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise RecordingError(
                f"{name or 'the model'} is compiled to TorchScript, and no layer can be seen within; give the model it was made from"
            )
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if tensor.is_meta:
            raise RecordingError(f"{name} is on the device meta, without numbers; load the weights first")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise RecordingError(
                f"the parameter {name} has no shape yet; run the model once on a batch, then record it"
            )


def _check_paths(out: Path | str, moments: Path | str | None, units: Path | str | None, inputs: Inputs) -> None:
    taken = {Path(inputs).resolve(): "inputs"} if isinstance(inputs, str | Path) else {}
    for name, path in (("out", out), ("moments", moments), ("units", units)):
        if path is None:
            continue
        if Path(path).suffix != ".parquet":
            raise RecordingError(f"{name} = {str(path)!r} is no name for Parquet; it must end in .parquet")
        if Path(path).resolve() in taken:
            raise RecordingError(
                f"{name} = {str(path)!r} is the file of the {taken[Path(path).resolve()]} too; give another name"
            )
        taken[Path(path).resolve()] = name


def _may_run_short(device: torch.device) -> bool:
    """Whether torch says that this device's memory is short, and goes on."""
    return device.type == "cuda"


@contextlib.contextmanager
def _moved(model: nn.Module, device: torch.device | str | None) -> Iterator[None]:
    """The model on ``device``, and back where it was at the end."""
    if device is None:
        yield
        return
    places = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(places) > 1:
        raise RecordingError(
            f"the model lies on several devices ({', '.join(sorted(map(str, places)))}); give no device, and it stays there"
        )
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise RecordingError(f"the model cannot go to the device {device}: {_first_line(error)}") from error
    try:
        yield
    finally:
        for place in places:
            model.to(place)


@contextlib.contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Eval mode within; training flags and buffers of every module as before at the end."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        # Not model.eval(), which a class may have overridden to do more.
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for module, name, buffer, value in buffers:
            module._buffers[name] = buffer
            if not torch.equal(buffer, value):
                with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                    buffer.copy_(value)


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """Transformer layers call their parts one by one, whether or not a hook looks at them: else the numbers of the first batch,
    in which all modules are looked at, would differ from the others' by rounding."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _chosen(model: nn.Module, layers: str | None, types: str | None) -> list[tuple[str, nn.Module]]:
    """The modules that ``layers`` and ``types`` choose, each once, with its name."""
    found = [
        (name or _ROOT, module)
        for name, module in model.named_modules(remove_duplicate=False)
        # The whole model is a layer only where there is no other; what makes a weight out of parameters is none.
        if (name or _is_leaf(module)) and _MAKES_WEIGHTS not in name.split(".")
    ]
    names = _few([name for name, _ in found])
    patterns, kinds = _parts(layers), _parts(types)
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        if not any(fnmatch.fnmatchcase(name, wanted) for name, _ in found):
            raise RecordingError(f"no layer fits the pattern {pattern!r}; the model has {names}")
    for kind in kinds:
        if not any(_is_of(module, kind) for _, module in found):
            there = sorted({type(module).__name__ for _, module in found})
            raise RecordingError(f"no layer is of the type {kind!r}; the model has {_few(there)}")
    include = [pattern for pattern in patterns if not pattern.startswith("!")]
    exclude = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    chosen: dict[int, tuple[str, nn.Module]] = {}
    for name, module in found:
        if include:
            fits = any(fnmatch.fnmatchcase(name, pattern) for pattern in include)
        else:
            fits = _is_leaf(module) or bool(kinds)
        if kinds:
            fits = fits and any(_is_of(module, kind) for kind in kinds)
        if fits and not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude):
            chosen.setdefault(id(module), (name, module))
    if not chosen:
        raise RecordingError(f"no layer fits layers = {layers!r} and types = {types!r} together; the model has {names}")
    return list(chosen.values())


def _is_leaf(module: nn.Module) -> bool:
    return all(name == _MAKES_WEIGHTS for name, _ in module.named_children())


def _is_of(module: nn.Module, kind: str) -> bool:
    """Whether the module's class, or one that it derives from, has this name."""
    return any(one.__name__ == kind for one in type(module).__mro__)


def _columns(reduce: Sequence[str]) -> tuple[tuple[str, ...], list[float]]:
    """Names of the columns, and the levels of the quantiles among them."""
    names: list[str] = []
    levels: list[float] = []
    for text in reduce:
        if text in REDUCTIONS:
            name = text
        else:
            try:
                level = float(text.removeprefix("quantile:")) if text.startswith("quantile:") else -1.0
            except ValueError:
                level = -1.0
            if not 0 <= level <= 1:
                raise RecordingError(
                    f"reduce = {text!r} is not understood; give {', '.join(REDUCTIONS)}, or quantile:p with 0 ≤ p ≤ 1"
                )
            name = _column(level)
            levels.append(level)
        if name in names:
            raise RecordingError(f"reduce has {text!r} twice; name each once")
        names.append(name)
    if not names:
        raise RecordingError(f"reduce is empty; give at least one of {', '.join(REDUCTIONS)} or quantile:p")
    return tuple(names), levels


def _column(level: float) -> str:
    return f"quantile_{level:.12g}"


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{', '.join(names[:_FEW])}{more}"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "()"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
