"""A TensorFlow program that trains a network on handwritten digits, across the processes of a TFJob."""
