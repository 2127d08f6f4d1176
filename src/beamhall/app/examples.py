"""Where the worked examples are: inside an installed package, or beside the sources in a clone."""

from pathlib import Path

import beamhall


def examples_directory() -> Path:
    """Give the directory of the examples.

    Raises:
        FileNotFoundError: This installation has none.
    """
    package = Path(beamhall.__file__).parent
    for candidate in (package / "examples", package.parents[1] / "examples"):
        if (candidate / "digits").is_dir():
            return candidate
    raise FileNotFoundError(f"the examples are missing beside {package}; reinstall beamhall")
