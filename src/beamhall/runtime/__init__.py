"""Turns planners into running controllers, on any ``Client``; it must not know which cluster stands behind it.

``manager`` holds it together: ``views`` (what is known, kept by list and watch), ``queue`` (which key next), ``worker``
(plan a key, carry it out, wait until the view shows it), ``carry_out``, ``events``, ``story`` (what was done and why),
``leases``. ``controller`` says what a controller is. This is the only package that runs planners.
"""
