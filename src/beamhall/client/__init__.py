"""How every part reaches a resource API: one ``Client`` protocol, two transports under one contract suite.

``protocol`` states the contract, ``local`` is the transport inside the process, ``http`` speaks to any kube-apiserver,
``kubeconfig`` finds it and its credentials, ``reflector`` keeps a copy of a kind by list and watch. This package must
not know which server it talks to.
"""
