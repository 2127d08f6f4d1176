"""Service addresses that work: a process of its own passes connections on to the Pods behind each Service.

``table`` says what listens where for whom (pure), ``child`` is the process, ``link`` starts it and keeps it informed.
It is a process of its own, so that traffic between Pods goes on while the service is stopped, as the Pods themselves
do, and costs the service nothing.
"""
