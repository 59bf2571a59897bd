"""Keyed random generators: the same key gives the same numbers, whatever ran before or beside it."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator", "generator_state", "normal_float32", "restore_generator"]


def generator(root_seed: int, *key: str | int) -> np.random.Generator:
    """Return the generator that belongs to ``key`` under ``root_seed``.

    The key, for example ``("gaussian", point_id, group)``, is hashed with SHA-256 to 256 bits of
    entropy for numpy's SeedSequence, so that distinct keys give independent streams and a stream
    does not depend on the order or the process in which work is done. The bit generator is SFC64
    (Doty-Humphrey 2018, PractRand), the fastest of numpy's generators that passes its tests.
    """
    words_of_key = (f"s:{part}" if isinstance(part, str) else f"i:{int(part)}" for part in key)
    text = "\x1f".join([str(int(root_seed)), *words_of_key])
    digest = hashlib.sha256(text.encode()).digest()
    words = np.frombuffer(digest, dtype="<u4")
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([int(word) for word in words])))


def generator_state(rng: np.random.Generator) -> np.ndarray:
    """The whole state of a generator that ``generator`` made, (6,) uint64: four words of SFC64, and a kept half word."""
    state = rng.bit_generator.state
    return np.array([*state["state"]["state"], state["has_uint32"], state["uinteger"]], np.uint64)


def restore_generator(rng: np.random.Generator, state: np.ndarray) -> None:
    """Put a generator back to where ``generator_state`` was taken, in place."""
    words = state.astype(np.uint64)
    rng.bit_generator.state = {
        "bit_generator": "SFC64",
        "state": {"state": words[:4]},
        "has_uint32": int(words[4]),
        "uinteger": int(words[5]),
    }


#: Numbers made at once, so that the intermediate arrays stay in cache.
_CHUNK = 1 << 14


def normal_float32(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 numbers by the Box–Muller transform, in two thirds of the time of numpy's ziggurat.

    z = √(−2 ln u) (cos 2πv, sin 2πv), u and v uniform on 24 bits, u at the middle of its cells (Box & Muller 1958). |z| is at
    most 5.9, beyond which 4e-9 of the normal law lies; the mean of z² is exact to 1e-7.
    """
    count = int(np.prod(shape))
    made = np.empty(count + count % 2, np.float32)
    u = np.empty(_CHUNK, np.float32)
    v = np.empty(_CHUNK, np.float32)
    for low in range(0, len(made), 2 * _CHUNK):
        block = made[low : low + 2 * _CHUNK]
        half = len(block) // 2
        radius, angle = u[:half], v[:half]
        rng.random(out=radius, dtype=np.float32)
        rng.random(out=angle, dtype=np.float32)
        radius += np.float32(2**-25)
        np.log(radius, out=radius)
        radius *= np.float32(-2)
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi)
        np.cos(angle, out=block[:half])
        np.sin(angle, out=block[half:])
        block[:half] *= radius
        block[half:] *= radius
    return made[:count].reshape(shape)
