"""What is told of a job while it runs: from the events of the service to lines for people. Knows no terminal."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

LAST_LINES = 20
"""How many of the last lines of a failing replica's log are told."""

_TELLING = ("Pulling", "Pulled", "Failed", "FailedScheduling", "FailedMount", "BackOff", "Preempted", "Evicted")
_NO_NEWS = "Container image "  # … already present on machine
_ENDS = ("Succeeded", "Failed", "Suspended")
_KILLED_FROM = 128

Message = Mapping[str, Any]


class JobStory:
    """A job as it was told so far.

    Args:
        name: The job's name.

    Attributes:
        job: How it is; empty at first.
        is_gone: Whether it was deleted.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.job: Message = {}
        self.is_gone = False
        self._pods: dict[str, Message] = {}
        self._failed: dict[str, Message] = {}
        self._lines: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LAST_LINES))
        self._said: set[str] = set()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.is_gone or self.job.get("state") in _ENDS

    def take(self, event: Message) -> Iterator[str]:
        """Take an event of the service, and give the lines that tell of it."""
        match event["event"]:
            case "log":
                yield from self._take_log(event["replica"], event["lines"])
            case "job":
                yield from self._take_job(event)
            case "pod":
                yield from self._take_pod(event)
            case "event":
                yield from self._take_event(event)
            case "gone":
                self.is_gone = True

    def summary(self) -> str:
        """Say in a line how it is: its state, its replicas, its progress."""
        running = sum(pod["phase"] == "Running" for pod in self._pods.values())
        wanted = self.job.get("replicas") or len(self._pods)
        parts = [str(self.job.get("state", "Created")), f"{running}/{wanted} running", *progress_texts(self.job)]
        return f"{self.name}: {', '.join(parts)}"

    def failure(self) -> Iterator[str]:
        """Say why it failed: its condition, and the end of the log of the replica that failed first."""
        yield f"the job failed: {self.job.get('message') or self.job.get('reason')}"
        if not self._failed:
            return
        replica, pod = min(self._failed.items(), key=lambda item: str(item[1].get("finishedAt", "")))
        yield f"{replica} {_end_text(pod)}; the end of its log:"
        yield from (f"  {replica} | {line}" for line in self._lines[replica])

    def _take_log(self, replica: str, lines: list[str]) -> Iterator[str]:
        self._lines[replica].extend(lines)
        yield from (f"{replica} | {line}" for line in lines)

    def _take_job(self, job: Message) -> Iterator[str]:
        before, self.job = self.job, job
        if job["state"] != before.get("state") and job["state"] not in _ENDS:
            yield f"{self.name}: {job['state']}"

    def _take_pod(self, pod: Message) -> Iterator[str]:
        replica = pod["replica"]
        before = self._pods.get(replica)
        self._pods[replica] = pod
        if pod.get("exitCode"):
            self._failed.setdefault(replica, pod)
        if before is None:
            return
        if pod["restarts"] > before["restarts"] or pod["uid"] != before["uid"]:
            failed = self._failed.pop(replica, None)
            yield f"{self.name}: {replica} starts again" + (f"; it {_end_text(failed)}" if failed else "")

    def _take_event(self, event: Message) -> Iterator[str]:
        line = f"{self.name}: {event['reason']}: {event['message']}"
        is_news = event["reason"] in _TELLING and not event["message"].startswith(_NO_NEWS)
        if is_news and line not in self._said:
            self._said.add(line)
            yield line


def progress_texts(job: Message) -> list[str]:
    """Say how far a job is: its figures, the percentage, and the time that is left."""
    progress: Message = job.get("progress") or {}
    texts = [f"{metric['name']} {_short(metric['value'])}" for metric in progress.get("metrics") or ()]
    if progress.get("progressPercentage") is not None:
        texts.append(f"{progress['progressPercentage']} %")
    if progress.get("estimatedRemainingSeconds"):
        texts.append(f"{progress['estimatedRemainingSeconds']} s left")
    return texts


def _short(number: str) -> str:
    try:
        return f"{float(number):.6g}"
    except ValueError:
        return number


def _end_text(pod: Message) -> str:
    code = pod.get("exitCode", 0)
    reason = f" ({pod['reason']})" if pod.get("reason") not in ("", "Error", "Completed", None) else ""
    if code > _KILLED_FROM:
        return f"was killed by signal {code - _KILLED_FROM}{reason}"
    return f"ended with exit code {code}{reason}"
