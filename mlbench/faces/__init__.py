"""Faces: data sets, preparation, the appearance model, augmentation, detection and frames."""
