"""The OpenTelemetry Collector: built by the official builder from our manifest, and run as a server."""

from moneypath.stack.collector.building import Manifest, build, find_built
from moneypath.stack.collector.spec import Collector, CollectorPorts, prepare

__all__ = ["Collector", "CollectorPorts", "Manifest", "build", "find_built", "prepare"]
