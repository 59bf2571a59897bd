"""Rule compare_initialisations: the advised initialisations against the usual ones, each at the learning rate that suits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from quasicrit.learning import Method, methods
from quasicrit.networks import (
    ImageData,
    NetSpec,
    Optimiser,
    StackedMLP,
    TrainingHistory,
    initialise,
    join,
    load_task,
    predict,
    train,
    tuning_split,
)
from quasicrit.rng import generator
from quasicrit.stages.parts import Parts
from quasicrit.tables import SCHEMAS, write_table

__all__ = ["compare_initialisations"]

ADVISED = "advised orthogonal"
#: Seeds of the final networks start here; those of tuning at 0.
_FRESH = 1000
_RESAMPLES = 4000


def compare_initialisations(
    params: Mapping[str, Any],
    data: Mapping[str, Any],
    initialisations: Path | str,
    advice: Path | str,
    seed: int,
    details: Mapping[str, Any],
    device: str = "cpu",
) -> None:
    """Tune each method's learning rate on a fifth of the training samples, then train fresh seeds of all and test them.

    ``params``: task, width, depth, steps, learning_rate (list), optimiser, batch_size, tuning_seeds, seeds.
    """
    task = load_task(params["task"], seed, data["folder"], data["sha256"])
    rates = sorted(params["learning_rate"])
    compared = methods("tanh", params["depth"], params["width"])
    cells = {name: params[name] for name in ("task", "width", "depth", "optimiser", "steps")}

    def run(
        split: ImageData, stage: str, chosen: Sequence[tuple[Method, float]], seeds: Sequence[int]
    ) -> dict[str, Any]:
        """Which of the split's test samples are right [methods, seeds, samples], the last losses [methods, seeds], and the rows."""
        mlp = _draw(split, [method for method, _ in chosen], seeds, params, seed)
        learning_rates = [rate for _, rate in chosen for _ in seeds]
        history = _train(mlp, split, learning_rates, params, seed, parts.file(f"{stage}.checkpoint"), device)
        right = predict(mlp, split.test_x, device) == split.test_y
        last = history.losses[:, -1]
        names = [(method.name, rate, s) for method, rate in chosen for s in seeds]
        rows = [
            {
                **cells,
                "learning_rate": rate,
                "method": name,
                "stage": stage,
                "seed": s,
                "accuracy": float(hits.mean()),
                "loss": float(loss) if np.isfinite(loss) else None,
                "fate": fate,
            }
            for (name, rate, s), hits, loss, fate in zip(names, right, last, history.fate, strict=True)
        ]
        shape = (len(chosen), len(seeds))
        return {"right": right.reshape(*shape, -1), "losses": last.reshape(shape), "rows": rows}

    grid = [(method, rate) for method in compared for rate in rates]
    fresh = range(_FRESH, _FRESH + params["seeds"])
    with Parts(initialisations, params, data, seed, device, details) as parts:
        tuned = parts.keep("tuning", lambda: run(tuning_split(task), "tuning", grid, range(params["tuning_seeds"])))
        # The best mean accuracy; of equal ones the lower last loss.
        score = tuned["right"].mean((1, 2)) - 1e-6 * np.nan_to_num(tuned["losses"], nan=1e3).mean(1)
        best = score.reshape(len(compared), len(rates)).argmax(1)
        chosen = [(method, rates[b]) for method, b in zip(compared, best)]
        final = parts.keep("final", lambda: run(task, "final", chosen, fresh))
        write_table(initialisations, SCHEMAS["initialisations"], [*tuned["rows"], *final["rows"]], details)
        right = final["right"]
        rng = generator(seed, "initialisations", params["task"], str(params["depth"]))
        mean, halves, draws = _errors(right, rng)
        reference = [method.name for method in compared].index(ADVISED)
        judged = []
        for index, method in enumerate(compared):
            difference = mean[reference] - mean[index]
            own = index == reference
            half = 0.0 if own else _half_width(draws[reference] - draws[index], right[[reference, index]])
            low, high = difference - half, difference + half
            judged.append(
                {
                    **cells,
                    "learning_rate": rates[best[index]],
                    "method": method.name,
                    "init": method.init,
                    "sigma_w": method.sigma_w,
                    "sigma_b": method.sigma_b,
                    "rate_at_edge": len(rates) > 1 and best[index] in (0, len(rates) - 1),
                    "seeds": params["seeds"],
                    "accuracy": mean[index],
                    "ci_low": mean[index] - halves[index],
                    "ci_high": mean[index] + halves[index],
                    "difference": None if own else difference,
                    "difference_low": None if own else low,
                    "difference_high": None if own else high,
                    "verdict": "reference"
                    if own
                    else "better"
                    if low > 0.0
                    else "worse"
                    if high < 0.0
                    else "no difference",
                }
            )
        write_table(advice, SCHEMAS["advice"], judged, details)


def _draw(
    split: ImageData, compared: Sequence[Method], seeds: Sequence[int], params: Mapping[str, Any], seed: int
) -> StackedMLP:
    """Networks by method and then seed; a method's networks are the same at every learning rate."""
    return join(
        [
            initialise(
                [NetSpec(f"{method.name}|{params['depth']}", method.sigma_w, method.sigma_b, s) for s in seeds],
                input_dim=split.train_x.shape[1],
                width=params["width"],
                depth=params["depth"],
                n_classes=split.n_classes,
                activation="tanh",
                init=method.init,
                root_seed=seed,
            )
            for method in compared
        ]
    )


def _train(
    mlp: StackedMLP,
    split: ImageData,
    rates: Sequence[float],
    params: Mapping[str, Any],
    seed: int,
    checkpoint: Path,
    device: str,
) -> TrainingHistory:
    return train(
        mlp,
        split,
        steps=params["steps"],
        learning_rate=rates,
        batch_size=min(params["batch_size"], len(split.train_y)),
        root_seed=seed,
        optimiser=Optimiser(params["optimiser"]),
        checkpoint=checkpoint,
        device=device,
    )


def _errors(right: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean accuracy, half its 95 % interval [methods], and draws [methods, B] of ``right`` [methods, seeds, samples].

    Seeds of each method and test samples are drawn with replacement, the samples alike for all methods.
    """
    n_methods, n_seeds, n_samples = right.shape
    samples = rng.multinomial(n_samples, np.full(n_samples, 1.0 / n_samples), size=_RESAMPLES)
    draws = np.empty((n_methods, _RESAMPLES))
    for index, hits in enumerate(right.astype(np.float64)):
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1.0 / n_seeds), size=_RESAMPLES)
        draws[index] = ((seeds @ hits) * samples).sum(1) / (n_seeds * n_samples)
    halves = np.array([_half_width(draws[m], right[m : m + 1]) for m in range(n_methods)])
    return right.mean((1, 2)), halves, draws


def _half_width(draws: np.ndarray, right: np.ndarray) -> float:
    """Half the 95 % interval of what ``draws`` [B] are draws of: Student's quantile times their standard deviation.

    Few seeds make the standard deviation too small by √(1 − 1/seeds), and its own error is theirs: the degrees of freedom are
    Welch's and Satterthwaite's, v²/Σ(s²/seeds)²/(seeds − 1), of the variance v with a part s²/seeds from each method of
    ``right`` [methods, seeds, samples] and the rest, from the samples, known well.
    """
    seeds = right.shape[1]
    variance = float(draws.var(ddof=1)) * seeds / (seeds - 1.0)
    parts = right.mean(2).var(axis=1, ddof=1) / seeds
    noise = float(np.sum(parts**2)) / (seeds - 1.0)
    return float(np.sqrt(variance) * (stdtrit(variance**2 / noise, 0.975) if noise > 0.0 else ndtri(0.975)))
