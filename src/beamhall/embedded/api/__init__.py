"""The Kubernetes API of the embedded cluster: the verbs on objects in the store, and the HTTP surface over them.

Read in this order: ``factory`` (what app/ and tests call), ``resources`` (what is served and what a kind adds),
``registry`` (which kinds are served now), ``verbs`` (the verbs, used by HTTP and by ``client.local`` alike), ``http``
(the ASGI app). ``builtin`` knows the built-in kinds, ``crds`` the custom ones. ``collector`` deletes what lost its
owner.

Nothing here knows how Pods run: logs come through the ``PodLogs`` protocol, and controllers are plain clients.
"""
