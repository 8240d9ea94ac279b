"""The networks of other systems that are trained here, by the name of the method that runs them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ecg_hough.errors import PageError
from ecg_hough.networks.runtime import Network
from ecg_lab.methods import LAB_WEIGHTS
from ecg_lab.networks.loop import Peer
from ecg_lab.networks.overlap_unet import OVERLAP_UNET
from ecg_lab.networks.whole_page import WHOLE_PAGE

PEERS: dict[str, Peer] = {peer.name: peer for peer in (OVERLAP_UNET, WHOLE_PAGE)}


def find_peer(name: str) -> Peer:
    """The network of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PEERS:
        raise ValueError(f"method must be one of {', '.join(PEERS)}; got {name!r}")
    return PEERS[name]


def load_peer(name: str) -> Network:
    """The laboratory's weights of that network; the second call returns the loaded one.

    Raises:
        PageError: they are not there.
    """
    path = LAB_WEIGHTS / f"{name}.onnx"
    if not path.is_file():
        raise PageError(
            "segmentation",
            f"{name} needs its network; {path.name} is not in {LAB_WEIGHTS}. Train it: ecg-lab train-peer "
            f"{name}, then ecg-lab export-peer runs/{name} -o {LAB_WEIGHTS}",
        )
    return _load(path)


@lru_cache(maxsize=2)
def _load(path: Path) -> Network:
    return Network(path)
