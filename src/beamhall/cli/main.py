"""The root command. Commands are imported when they are called: ``beamhall kubeconfig`` must not load a server."""

import importlib
import sys
from collections.abc import Mapping

import click

from beamhall import __version__
from beamhall.kernel.errors import ApiError, UserError

_COMMANDS: Mapping[str, str] = {
    "up": "Start the service, and stop it cleanly on Ctrl-C.",
    "demo": "Start a fresh service and train a network on it, from nothing to a result.",
    "run": "Run a pipeline from a file, and follow it to its end.",
    "runs": "List runs, show one as a tree, read logs, stop, retry.",
    "pipelines": "List, show and upload pipelines that are kept by name.",
    "train": "Run a script as a training job on many workers, and follow it to its end.",
    "jobs": "List training jobs, show one, read its logs, stop, resume, delete.",
    "kubeconfig": "Print a kubeconfig for this service, for kubectl and SDKs.",
    "users": "List, add and remove users beyond the owner.",
    "doctor": "Say what is wrong with this installation, and how to mend it.",
    "images": "List, prepare and add images: the Python environments that Pods run in.",
    "backup": "Write a backup of the service to one file, also while it runs.",
    "restore": "Put a backup back.",
    "explain": "Say what was done to an object, and why.",
    "operator": "Run the same controllers on a real Kubernetes cluster.",
}


class _Commands(click.Group):
    """Finds each command in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"beamhall.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="beamhall")
def root() -> None:
    """Beamhall: notebooks, pipelines, tuning, training and serving for a laboratory, in one process.

    \b
    First steps:
      beamhall demo                        see a real training job from start to end
      beamhall up                          start the service on this machine
      beamhall kubeconfig > ~/.kube/beamhall
      KUBECONFIG=~/.kube/beamhall kubectl create -f job.yaml

    Everything is kept under one data directory (--data, BEAMHALL_DATA; default ~/.local/share/beamhall).
    """


def main() -> None:
    """Run the command line; errors that a user can act on are one line, not a traceback."""
    try:
        # A command ends with a code by `ctx.exit`, which gives it back here.
        sys.exit(root(standalone_mode=False) or 0)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (ApiError, UserError, OSError) as err:
        click.echo(f"beamhall: {err}", err=True)
        sys.exit(1)
    except _transport_errors() as err:
        click.echo(f"beamhall: the service does not answer: {err}; `beamhall up` starts it", err=True)
        sys.exit(1)


def _transport_errors() -> tuple[type[Exception], ...]:
    """Give what is raised where a service cannot be reached: nothing where nobody has loaded the HTTP client."""
    client = sys.modules.get("httpx2")
    return () if client is None else (client.TransportError,)
