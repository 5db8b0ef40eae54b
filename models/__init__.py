"""Small networks that come along, each `NAME.tflite` beside `NAME.json`, the record of the run that made it.

Trained on sampled faces and portraits of members of the US Congress alone, so that they may be passed on.
"""

from pathlib import Path

#: Where the networks lie.
FOLDER = Path(__file__).parent
