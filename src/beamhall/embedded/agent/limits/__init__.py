"""What containers may use of the machine, and what they do use.

``amounts`` (from a container's resources to numbers), ``places`` (which control groups the service may make),
``groups`` (a container's control groups), ``watching`` (where there are none), ``usage`` and ``processes`` (readings),
``limits`` (all of it, for the agent). Must not know how Pods are run or reported.
"""
