"""From a started task to what is executed, and from what that left behind to outputs: pure, one step at a time.

Knows what Pods, claims and files of a step look like; not when it is started, by whom, or where bytes are kept.
Read ``facts`` and ``step``, then ``results``; ``platform`` applies what a pipeline asks of Kubernetes.
"""
