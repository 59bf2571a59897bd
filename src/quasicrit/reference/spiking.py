"""Spiking populations whose answer is known: branching in a finite population, independent units, a small network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from quasicrit.avalanches import SpikeTrains

__all__ = ["LeakyNetwork", "branching_spikes", "leaky_network", "poisson_spikes", "sampled_units"]


def branching_spikes(
    sigma: float,
    drive: float,
    units: int,
    steps: int,
    rng: np.random.Generator,
    *,
    segments: int = 1,
    step: float = 0.004,
) -> SpikeTrains:
    """Branching of spikes among ``units`` neurons, from silence, in ``segments`` of ``steps`` steps of ``step`` seconds.

    A neuron that spikes sends Poisson(sigma) signals to neurons drawn at random, which spike in the next step, once however many
    signals they get; ``drive`` signals come from outside in a step. Without the finite population A_{t+1} ~ Poisson(sigma A_t + drive),
    a critical branching process at sigma = 1, with tau_s = 3/2, tau_d = 2, gamma = 2; coincidences cut it off at durations
    ~ √units. Spikes stand at random times within their step.
    """
    times, neurons, owners = [], [], []
    for segment in range(segments):
        at, neuron = _branch(sigma, drive, units, steps, rng)
        times.append((at + rng.random(len(at))) * step)
        neurons.append(neuron)
        owners.append(np.full(len(at), segment))
    bounds = np.tile([0.0, steps * step], (segments, 1))
    return SpikeTrains(np.concatenate(times), np.concatenate(neurons), np.concatenate(owners), units, bounds)


@numba.njit(cache=True)
def _branch(sigma, drive, units, steps, rng):  # type: ignore[no-untyped-def]
    capacity = 1024
    at = np.empty(capacity, np.int64)
    neuron = np.empty(capacity, np.int64)
    last = np.full(units, -1, np.int64)
    count = 0
    active = 0
    for now in range(steps):
        signals = rng.poisson(sigma * active + drive)
        active = 0
        for _ in range(signals):
            hit = int(rng.random() * units)
            if last[hit] == now:
                continue
            last[hit] = now
            active += 1
            if count == capacity:
                capacity *= 2
                more_at = np.empty(capacity, np.int64)
                more_neuron = np.empty(capacity, np.int64)
                more_at[:count] = at
                more_neuron[:count] = neuron
                at, neuron = more_at, more_neuron
            at[count] = now
            neuron[count] = hit
            count += 1
    return at[:count], neuron[:count]


def poisson_spikes(
    rate: float, units: int, seconds: float, rng: np.random.Generator, *, segments: int = 1
) -> SpikeTrains:
    """Independent Poisson neurons of ``rate`` per second: the population has neither memory nor avalanches."""
    counts = rng.poisson(rate * seconds, (segments, units))
    total = int(counts.sum())
    owner, unit = np.divmod(np.repeat(np.arange(segments * units), counts.ravel()), units)
    bounds = np.tile([0.0, seconds], (segments, 1))
    return SpikeTrains(rng.random(total) * seconds, unit, owner, units, bounds)


def sampled_units(trains: SpikeTrains, share: float, rng: np.random.Generator) -> SpikeTrains:
    """The spikes of ``share`` of the neurons, drawn at random, as electrodes would see them."""
    chosen = rng.permutation(trains.n_units)[: max(1, round(share * trains.n_units))]
    code = np.full(trains.n_units, -1)
    code[chosen] = np.arange(len(chosen))
    seen = code[trains.unit] >= 0
    return SpikeTrains(
        trains.time[seen], code[trains.unit[seen]], trains.segment[seen], len(chosen), trains.bounds, trains.step
    )


@dataclass(frozen=True)
class LeakyNetwork:
    """A sparse random network of leaky integrate-and-fire neurons (Brunel 2000, J. Comput. Neurosci. 8, 183), current based.

    dV/dt = −V/tau + Σ w_ij δ(t − t_j − delay): V jumps by ``weight`` mV at each excitatory spike and by −``inhibition``
    times that at each inhibitory one. At ``threshold`` mV a neuron spikes, and V is kept at ``reset`` mV for ``refractory``
    seconds. Every pair is connected with probability ``connection``. Each neuron gets its own Poisson spikes of ``weight``
    from outside: at ``drive`` times the rate threshold/(weight tau), which alone would take V to the threshold in the mean.
    """

    excitatory: int = 240
    inhibitory: int = 60
    connection: float = 0.1
    weight: float = 1.0
    inhibition: float = 5.0
    drive: float = 0.7
    tau: float = 0.020
    threshold: float = 20.0
    reset: float = 0.0
    refractory: float = 0.002
    delay: float = 0.0015
    step: float = 0.0001

    @property
    def units(self) -> int:
        return self.excitatory + self.inhibitory


def leaky_network(
    network: LeakyNetwork, seconds: float, rng: np.random.Generator, *, warm_up: float = 1.0
) -> SpikeTrains:
    """Run the network by exact exponential steps and return its spikes after ``warm_up`` seconds, one segment."""
    units = network.units
    linked = rng.random((units, units)) < network.connection
    np.fill_diagonal(linked, False)
    targets = [np.flatnonzero(row) for row in linked]
    first = np.concatenate([[0], np.cumsum([len(row) for row in targets])])
    jump = np.where(np.arange(units) < network.excitatory, network.weight, -network.inhibition * network.weight)
    dt = network.step
    mean = network.drive * network.threshold / (network.weight * network.tau) * dt
    at, neuron = _integrate(
        np.concatenate(targets),
        first,
        jump,
        round((warm_up + seconds) / dt),
        math.exp(-dt / network.tau),
        mean,
        network.weight,
        network.threshold,
        network.reset,
        round(network.refractory / dt),
        round(network.delay / dt),
        rng,
    )
    time = (at + 0.5) * dt - warm_up
    seen = time >= 0.0
    n = int(seen.sum())
    return SpikeTrains(time[seen], neuron[seen], np.zeros(n, np.int64), units, np.array([[0.0, seconds]]))


@numba.njit(cache=True)
def _integrate(  # type: ignore[no-untyped-def]
    targets, first, jump, steps, decay, mean, weight, threshold, reset, refractory, delay, rng
):
    units = len(jump)
    v = np.empty(units)
    for i in range(units):
        v[i] = rng.random() * threshold
    until = np.zeros(units, np.int64)
    waiting = np.zeros((delay + 1, units))
    capacity = 1024
    at = np.empty(capacity, np.int64)
    neuron = np.empty(capacity, np.int64)
    count = 0
    for now in range(steps):
        slot = now % (delay + 1)
        later = (now + delay) % (delay + 1)
        # Poisson spikes dealt at random to the neurons are independent Poisson spikes of each.
        for _ in range(rng.poisson(mean * units)):
            waiting[slot, int(rng.random() * units)] += weight
        for i in range(units):
            arrived = waiting[slot, i]
            waiting[slot, i] = 0.0
            if now < until[i]:
                continue
            v[i] = v[i] * decay + arrived
            if v[i] < threshold:
                continue
            v[i] = reset
            until[i] = now + refractory + 1
            if count == capacity:
                capacity *= 2
                more_at = np.empty(capacity, np.int64)
                more_neuron = np.empty(capacity, np.int64)
                more_at[:count] = at
                more_neuron[:count] = neuron
                at, neuron = more_at, more_neuron
            at[count] = now
            neuron[count] = i
            count += 1
            for k in range(first[i], first[i + 1]):
                waiting[later, targets[k]] += jump[i]
    return at[:count], neuron[:count]
