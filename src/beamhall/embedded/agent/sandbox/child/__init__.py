"""Code that runs outside the service: the zygote, the shim and the container's first moments.

These files use the standard library only, run under any Python >= 3.9 (that of an image's environment, which does not
have Beamhall installed) and are started by path: ``zygote.py`` makes the names ``beamhall...child.*`` importable by
itself. They must import nothing of Beamhall outside this package, and as little of the library as they can: every
container has a process with this code in it. Start with ``zygote``, then ``shim``, then ``container``.
"""
