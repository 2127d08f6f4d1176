"""What runs inside the Pod of a step whose files are not on its machine: fetch, run, store.

    beamhall-launcher -- COMMAND ARGUMENT...

It is told by the environment what to fetch and to store, and how stores are reached (``orders``). The step's own
command runs as if it were alone: its variables, directory, input and output, signals to it, its exit code. Server code
is not loaded here, nor may it be. Start reading at ``launch``.

The command is named without a path, since it is no part of the step's image: the embedded agent runs it with the
service's own Python. So is ``beamhall-initializer``, which stands in for the images that fetch what a TrainJob trains
on (``initializer``). On a real cluster an init container has to put it onto a volume that is in the step's ``PATH``.
"""
