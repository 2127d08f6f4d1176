"""What a pipeline asks of Kubernetes beyond its containers, put into Pods. Read ``draft``, then ``applying``."""
