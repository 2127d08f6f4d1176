"""What is special about each kind of training job, one file a kind; the shape is ``training.job.Framework``."""
