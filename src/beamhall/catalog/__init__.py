"""What users may choose: images, with the local Python environment that stands for each.

A Pod names an image as on any Kubernetes; here a Python environment made by uv stands for it. Start with ``catalog``,
which finds the entry for an image; ``entries`` says what an entry holds, ``document`` reads the YAML files,
``references`` compares image names, ``preparation`` makes an environment once and for all, ``installer`` drives uv,
``pip_settings`` carries a user's pip configuration over to it. This package must not know what a Pod is.
"""
