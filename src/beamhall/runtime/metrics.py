"""What the runtime counts about itself, for Prometheus."""

from prometheus_client import Counter, Histogram

PLANS = Counter("beamhall_plans", "Plans that were carried out, by controller and outcome.", ("controller", "outcome"))
WRITES = Counter("beamhall_plan_actions", "Writes and events that plans led to.", ("controller",))
PLAN_SECONDS = Histogram(
    "beamhall_plan_seconds",
    "Time that planners took.",
    ("controller",),
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
)
