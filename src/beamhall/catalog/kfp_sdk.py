"""The SDK of Kubeflow Pipelines inside of steps: a newer one stands in for one that cannot be installed any more.

Each step installs the SDK that its pipeline was compiled with, to have the program that runs components. Any later SDK
has one that reads the same; but some releases were withdrawn, and old ones need packages that no longer build. Before
2.0 the program was called ``kfp.components.executor_main``. Before 2.5 it knew no artifacts in local directories.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from beamhall.catalog.installs import Install, normalised

_PINNED = re.compile(r"kfp==(?:2\.|1\.8\.)[^;,]*")
_STAND_IN = "kfp>=2.1,<3"
_BRIDGE = '''"""The name that this program had before kfp 2.0. Written by Beamhall."""

from kfp.dsl.executor_main import executor_main

if __name__ == "__main__":
    executor_main()
'''


def stand_in(install: Install) -> Install | None:
    """Give the install with a newer SDK in the place of the one that it names; None: it names none."""
    texts = tuple(_STAND_IN if _PINNED.fullmatch(normalised(text)) else text for text in install.requirements)
    return None if texts == install.requirements else replace(install, requirements=texts)


_PATH = re.compile(r"(    def _get_path\(self\)[^\n]*:\n(?:        [^\n]*\n)+?)        return None\n")


def bridge_local_paths(prefix: Path) -> None:
    """Have the SDK of an environment, if it is an old one, take an artifact's URI without a scheme for its path.

    As later ones do. The file is replaced, not changed: it may be the same one as in uv's cache.
    """
    for package in _packages(prefix):
        for file in package.rglob("types/artifact_types.py"):
            text = file.read_text(encoding="utf-8")
            changed = _PATH.sub(r"\1        return self.uri\n", text)
            if changed != text:
                draft = file.with_suffix(".draft")
                draft.write_text(changed, encoding="utf-8")
                draft.replace(file)


def bridge_old_name(prefix: Path) -> None:
    """Let the SDK of an environment, if there is one, be found by the name that old pipelines call it by."""
    for package in _packages(prefix):
        old = package / "components" / "executor_main.py"
        if (package / "dsl" / "executor_main.py").exists() and old.parent.is_dir() and not old.exists():
            old.write_text(_BRIDGE, encoding="utf-8")


def _packages(prefix: Path) -> Iterator[Path]:
    return prefix.glob("lib/python3*/site-packages/kfp")
