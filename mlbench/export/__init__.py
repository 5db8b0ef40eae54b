"""From a network to the `.tflite` file that ships."""
