"""Keras networks: built, stored, counted, operated on."""
