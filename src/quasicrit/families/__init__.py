"""Families of networks: what a configuration may ask for, what it costs, how it is built and recorded; torch is loaded to build alone."""

from quasicrit.families.network import Definition, ImageTask, Network, Size, network_members
from quasicrit.families.registry import FAMILIES, Net, build_network, critical_sigma_w

__all__ = [
    "FAMILIES",
    "Definition",
    "ImageTask",
    "Net",
    "Network",
    "Size",
    "build_network",
    "critical_sigma_w",
    "network_members",
]
