"""The KFP v2beta1 REST API, as the real ``kfp.Client`` speaks it, over the tables of ``history``.

Knows nothing of who runs pipelines: it writes down what users want. ``application`` makes the ASGI application; each
resource has a module, and ``messages`` and ``lists`` hold what all share. Errors leave in ``errors``.

Source: Kubeflow Pipelines, backend/api/v2beta1/*.proto and grpc-gateway's mapping of them.
"""
