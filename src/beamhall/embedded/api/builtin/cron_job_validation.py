"""What a CronJob may be.

Source: Kubernetes API reference, CronJob v1 batch; ``pkg/apis/batch/validation``.
"""

from collections.abc import Iterator
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, non_negative, one_of, required, unsupported
from beamhall.embedded.api.builtin.job_validation import validate_job_spec
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, name_of
from beamhall.kernel.schedules import find_zone, parse_schedule

_MAX_NAME = 52
_NUMBERS = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")


def validate_cron_job(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a CronJob, but for most of its metadata."""
    spec = obj.get("spec") or {}
    if len(name_of(obj)) > _MAX_NAME:  # its Jobs' names are 11 characters longer
        yield invalid("metadata.name", name_of(obj), f"must be no more than {_MAX_NAME} characters")
    yield from _validate_schedule(spec.get("schedule") or "")
    if spec.get("timeZone") is not None:
        yield from _validate_zone(spec["timeZone"])
    for field in _NUMBERS:
        yield from non_negative(f"spec.{field}", spec.get(field))
    yield from one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), ("Allow", "Forbid", "Replace"))
    template = spec.get("jobTemplate")
    if template is None:
        yield required("spec.jobTemplate")
        return
    job = template.get("spec") or {}
    path = "spec.jobTemplate.spec"
    yield from validate_job_spec(job, path)
    if job.get("selector") is not None:
        yield invalid(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        yield unsupported(f"{path}.manualSelector", job["manualSelector"], ("nil", "false"))


def _validate_schedule(text: str) -> Iterator[Cause]:
    if not text:
        yield required("spec.schedule")
    elif "TZ" in text:
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid("spec.schedule", text, detail)
    else:
        yield from _problem("spec.schedule", text, parse_schedule)


def _validate_zone(name: str) -> Iterator[Cause]:
    if not name:
        yield invalid("spec.timeZone", name, "timeZone must be nil or non-empty string")
    elif name.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid("spec.timeZone", name, detail)
    else:
        yield from _problem("spec.timeZone", name, find_zone)


def _problem(path: str, value: str, read: Any) -> Iterator[Cause]:
    try:
        read(value)
    except ValueError as error:
        yield invalid(path, value, str(error))
