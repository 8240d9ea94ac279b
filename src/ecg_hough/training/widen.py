"""A wider network that goes on from what a narrower one of the same depth has learned.

In: the weights of the narrow network and the first weights of the wide one. Out: weights of the wide one
that give the narrow one's logits; the new channels begin at random and learn from there.
"""

from __future__ import annotations

import re

import torch

_AFTER_SKIP = re.compile(r"^decoder\.stages\.\d+\.convs\.0\.")
"""The first convolution of a decoder's stage reads two blocks of equal size: from below, and the skip."""
_UPWARDS = re.compile(r"^decoder\.transpconvs\.")
"""Weights of transposed convolutions are (in, out, ...), those of all others (out, in, ...)."""


def widen(narrow: dict[str, torch.Tensor], wide: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The wide network's weights with the narrow one's in them.

    No weight leads from a new channel to an old one, so that the old ones are as they were (instance
    normalisation treats every channel by itself); those zeros learn like all others.

    Args:
        narrow, wide: state dicts of two `architecture` networks that differ in features per stage.
    Raises:
        ValueError: networks of other kinds or depths, or a "wide" one with fewer channels.
    """
    if narrow.keys() != wide.keys():
        raise ValueError("networks to widen must have the same stages; these have other weights")
    out = {}
    for name, old in narrow.items():
        new = wide[name].clone()
        if old.ndim != new.ndim or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
            raise ValueError(f"{name} must not shrink; got {tuple(old.shape)} to {tuple(new.shape)}")
        if old.ndim < 2:
            new[: old.shape[0]] = old
        else:
            flipped = _UPWARDS.match(name) is not None
            weight, kept = (new.transpose(0, 1), old.transpose(0, 1)) if flipped else (new, old)
            n_blocks = 2 if _AFTER_SKIP.match(name) else 1
            step, size = weight.shape[1] // n_blocks, kept.shape[1] // n_blocks
            inputs = torch.cat([torch.arange(size) + k * step for k in range(n_blocks)])
            weight[: kept.shape[0]] = 0.0
            weight[: kept.shape[0], inputs] = kept.to(weight.dtype)
        out[name] = new
    return out
