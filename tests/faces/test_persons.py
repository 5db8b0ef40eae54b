"""Who a name speaks of, by layouts of face sets; see `mlbench.faces.persons`."""

import numpy as np
import pytest

from mlbench.faces.dataset import Faces
from mlbench.faces.landmarks import samples_of
from mlbench.faces.persons import person_below, person_of, persons_of

LAYOUTS = [
    # the folder comes first
    ("n000001/0007_01.jpg", "n000001"),  # VGGFace2
    ("train/n000001/0007_01.jpg", "n000001"),
    ("VGG-Face2/data/vggface2_train/n000001/0007_01.jpg", "n000001"),
    ("0000045/001.jpg", "0000045"),  # CASIA-WebFace
    ("CASIA-WebFace/0000045/001.jpg", "0000045"),
    ("lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg", "Aaron_Eckhart"),
    ("Aaron_Eckhart/0/0.555.jpg", "Aaron_Eckhart"),  # YouTube Faces: a folder for each video
    ("id10001/1zcIwhmdeo4/0000375.jpg", "id10001"),  # VoxCeleb
    ("cfp/Data/Images/001/frontal/01.jpg", "001"),
    ("m.0107_f/23-FaceId-0.jpg", "m.0107_f"),  # MS-Celeb-1M
    ("s1/1.pgm", "s1"),  # ORL
    ("faces/person12/3.jpg", "person12"),
    ("umdfaces_batch1/aaron_carter/aaron_carter_0001.jpg", "aaron_carter"),
    ("alice/014435.jpg#2", "alice"),
    ("alice/training_image_0001.jpg", "alice"),
    (r"train\n000001\0007_01.jpg", "n000001"),
    # folders that tell of files
    ("img_align_celeba/000001.jpg", "000001"),
    ("aligned/IMG_0001.jpg", "IMG_0001"),
    ("01_Indoor/indoor_001.png", "indoor_001"),  # 300-W
    ("helen/trainset/100032540_1.jpg", "100032540"),
    ("scut/AF12.jpg", "AF12"),
    ("photos/Jean-Claude_Van_Damme_0001.jpg#2", "Jean-Claude_Van_Damme"),
    ("./Ada_Lovelace_1.jpg", "Ada_Lovelace"),
    # names alone
    ("Alejandro_Toledo_0002.jpg", "Alejandro_Toledo"),
    ("Alejandro_Toledo0.jpg", "Alejandro_Toledo"),
    ("Abdullah_0001.jpg", "Abdullah"),  # LFW has such
    ("Ada Lovelace 12.png", "Ada Lovelace"),
    ("n000001_0007_01.jpg", "n000001"),
    ("nm0000001_rm124825600_1899-5-10_1968.jpg", "nm0000001"),
    ("00001_930831_fa_a.ppm", "00001"),
    ("100032540_1.jpg", "100032540"),
    # each a person of its own
    ("training_image_0001.jpg", "training_image_0001"),
    ("face_image_00001.jpg", "face_image_00001"),
    ("sampled_000001", "sampled_000001"),
    ("IMG_0001.jpg", "IMG_0001"),
    ("AF12.jpg", "AF12"),
    ("014435.jpg", "014435"),
    ("26_1_2_20170116184024662.jpg.chip.jpg", "26_1_2_20170116184024662"),  # UTKFace
]


@pytest.mark.parametrize(("name", "person"), LAYOUTS)
def test_who_a_name_speaks_of(name, person):
    assert person_of(name) == person


@pytest.mark.parametrize("end", ["!", "1!", "/", ""])
def test_a_hostile_name_is_a_name(end):
    assert person_of("a_" * 5000 + end)


def test_an_array_comes_before_the_names_but_where_it_is_empty():
    names = np.array(["Ada_Lovelace_1.jpg", "Ada_Lovelace_2.jpg", "3.jpg"])
    assert persons_of(names, {}).tolist() == ["Ada_Lovelace", "Ada_Lovelace", "3"]
    assert persons_of(names, {"person": np.array([1, 2, 2])}).tolist() == ["1", "2", "2"]
    assert persons_of(names, {"person": np.array(["x", "", ""])}).tolist() == ["x", "Ada_Lovelace", "3"]


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("mine/alice/1.jpg", "alice"),
        ("mine/Ada_Lovelace_1.jpg", "Ada_Lovelace"),
        ("alice/1.jpg", "alice"),
        ("photos/1.jpg", "1"),
        ("Ada_Lovelace_1.jpg", "Ada_Lovelace"),
    ],
)
def test_the_folder_that_was_searched_comes_last(name, person):
    assert person_below(name) == person


def test_a_number_is_told_of_nobody():
    names = np.array(["Ada_Lovelace_1.jpg", "000001.jpg", "alice/1.jpg"])
    faces = Faces(np.zeros((3, 96, 96), np.uint8), np.zeros((3, 68, 2), np.float32), names)
    assert samples_of(faces).told_groups() == {"Ada_Lovelace", "alice"}
