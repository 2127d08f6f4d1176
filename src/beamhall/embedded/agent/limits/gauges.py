"""Usage of containers for Prometheus, under the names that cAdvisor gives it: dashboards for Kubernetes know them."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from beamhall.embedded.agent.limits.metering import Metering
from beamhall.kernel.objects import name_of, namespace_of

_LABELS = ("namespace", "pod", "container")


class UsageCollector(Collector):
    """Tells what was last read of each container that runs; nothing is looked at for it.

    Args:
        metering: Reads.
    """

    def __init__(self, metering: Metering) -> None:
        self._metering = metering

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        cpu = CounterMetricFamily("container_cpu_usage_seconds", "Processor time of the container.", labels=_LABELS)
        memory = GaugeMetricFamily(
            "container_memory_working_set_bytes", "Memory that the container holds.", labels=_LABELS
        )
        for running, reading in self._metering.latest():
            labels = (namespace_of(running.pod), name_of(running.pod), str(running.container["name"]))
            cpu.add_metric(labels, reading.cpu_s)
            memory.add_metric(labels, reading.memory_bytes)
        yield cpu
        yield memory
