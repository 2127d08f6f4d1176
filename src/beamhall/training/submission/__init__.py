"""From a script to a training job: which framework it is for, its files as a ConfigMap, the job's object.

Pure: who calls has read the files, and submits what comes out. Start with ``manifests``.
"""
