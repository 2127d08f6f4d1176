"""Pipelines of our own, authored with the real ``kfp`` SDK, each with what must become of it; ``cases`` says how."""
