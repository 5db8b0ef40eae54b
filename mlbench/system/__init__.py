"""The machine, its files and TensorFlow; nothing of what is benchmarked."""
