"""Which channels belong together, on small graphs, and what keeps them."""

import numpy as np
import pytest
import tf_keras

from mlbench.networks.channels import channels_of

layers = tf_keras.layers


def _input(*shape):
    return tf_keras.Input(shape, name="given")


def _found(given, answers):
    return channels_of(tf_keras.Model(given, answers))


def _names(members):
    return [member.layer for member in members]


def _conv(filters, name, size=3, **options):
    return layers.Conv2D(filters, size, padding="same", name=name, **options)


def test_a_layer_feeds_the_next_through_what_treats_each_channel_alone():
    given = _input(8, 8, 1)
    x = _conv(4, "maker")(given)
    for layer in (
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.MaxPool2D(2),
        layers.DepthwiseConv2D(3, name="depthwise"),
        layers.Dropout(0.5),
        layers.ZeroPadding2D(1),
        layers.GlobalAveragePooling2D(),
        layers.Reshape((1, 1, 4), name="reshaped"),
    ):
        x = layer(x)
    [group] = _found(given, _conv(2, "taker")(x)).groups
    assert (group.size, _names(group.makers), _names(group.takers)) == (4, ["maker"], ["taker"])
    assert _names(group.carriers) == ["norm", "depthwise", "reshaped"]
    np.testing.assert_array_equal(group.takers[0].channels, range(4))


def test_a_sum_ties_channels_and_what_follows_it():
    given = _input(8, 8, 1)
    stem = _conv(4, "stem")(given)
    total = layers.Add()([stem, _conv(4, "inner")(stem)])
    found = _found(given, _conv(2, "answers")(total))
    [group] = found.groups
    assert _names(group.makers) == ["stem", "inner"]
    assert _names(group.takers) == ["inner", "answers"]
    assert found.whole == {"answers": ""}


def test_joined_channels_stand_side_by_side():
    given = _input(8, 8, 1)
    joined = layers.Concatenate()([_conv(3, "left")(given), _conv(2, "right")(given)])
    left, right = _found(given, _conv(2, "answers")(layers.BatchNormalization(name="norm")(joined))).groups
    assert (_names(left.makers), _names(right.makers)) == (["left"], ["right"])
    for member in (*left.takers, *left.carriers):
        np.testing.assert_array_equal(member.channels, [0, 1, 2, -1, -1])
    for member in (*right.takers, *right.carriers):
        np.testing.assert_array_equal(member.channels, [-1, -1, -1, 0, 1])


def test_a_flattened_channel_is_taken_at_every_place():
    given = _input(2, 3, 1)
    [group] = _found(
        given, layers.Dense(2, name="answers")(layers.Flatten()(_conv(4, "maker")(given)))
    ).groups
    np.testing.assert_array_equal(group.takers[0].channels, np.tile(range(4), 6))


def test_a_join_that_is_added_to_ties_both_parts():
    given = _input(8, 8, 1)
    joined = layers.Concatenate()([_conv(3, "left")(given), _conv(2, "right")(given)])
    total = layers.Add()([joined, _conv(5, "whole")(given)])
    [group] = _found(given, _conv(2, "answers")(total)).groups
    assert group.size == 5
    own = {member.layer: member.own.tolist() for member in group.makers}
    assert own["whole"] == sorted(own["left"] + own["right"])


def test_a_layer_called_twice_has_the_same_channels_in_both_calls():
    given = _input(8, 8, 1)
    shared = _conv(4, "shared")
    one, other = shared(_conv(2, "one")(given)), shared(_conv(2, "other")(given))
    answers = layers.Concatenate()([_conv(2, "first")(one), _conv(2, "second")(other)])
    found = _found(given, answers).groups
    assert [(sorted(_names(g.makers)), _names(g.takers)) for g in found] == [
        (["one", "other"], ["shared"]),
        (["shared"], ["first", "second"]),
    ]


@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (layers.LayerNormalization(name="odd"), "odd (LayerNormalization)"),
        (layers.Softmax(name="odd"), "odd (Softmax)"),
        (layers.Reshape((4, 64), name="odd"), "odd (Reshape)"),
        (layers.Permute((3, 1, 2), name="odd"), "odd (Permute)"),
        (layers.Conv2D(4, 3, groups=2, name="odd"), "groups of channels"),
        (layers.Conv2DTranspose(4, 3, name="odd"), "odd (Conv2DTranspose)"),
        (layers.SeparableConv2D(4, 3, name="odd"), "odd (SeparableConv2D)"),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, name="odd"), "odd (DepthwiseConv2D)"),
        (layers.Conv2D(4, 3, trainable=False, name="odd"), "not trained"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_understood_keeps_the_channels_before_it_and_is_named(behind, told):
    given = _input(8, 8, 1)
    x = behind(_conv(4, "maker")(given))
    found = _found(given, layers.Dense(2, name="answers")(layers.Flatten()(x)))
    assert "maker" not in [name for group in found.groups for name in _names(group.makers)]
    assert told in found.whole["maker"]


def test_softmax_within_a_layer_keeps_its_channels():
    given = _input(6)
    x = layers.Dense(4, activation="softmax", name="shares")(given)
    assert "softmax" in _found(given, layers.Dense(2, name="answers")(x)).whole["shares"]


def test_a_tie_to_the_input_or_the_answers_keeps_channels():
    given = _input(8, 8, 4)
    total = layers.Add()([given, _conv(4, "tied")(given)])
    found = _found(given, [_conv(2, "answers")(total), _conv(3, "answered", activation="relu")(total)])
    assert not found.groups
    assert found.whole == {"tied": "the network's input", "answers": "", "answered": ""}
