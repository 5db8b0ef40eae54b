"""Built-in detectors of faces, one file per kind; their boxes are those of dlib, which networks are trained on."""
