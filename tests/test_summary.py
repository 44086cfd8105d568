"""Counts of parameters, FLOPs and bytes against NumPy and against formulas by hand."""

import pytest

from minigan.data.registry import SHAPES
from minigan.layer import Layer, Sequential
from minigan.layers import Concat, Conv2d, Dense, Embedding, Flatten, Fork, LeakyReLU, Parallel, Reshape, Residual
from minigan.presets import PRESETS, Options
from minigan.summary import summarize, table

DIGITS = SHAPES["mnist5k"]


def dcgan() -> tuple[Layer, Layer]:
    networks = PRESETS["dcgan"].networks(Options(DIGITS, 100, norm="batch"))
    return networks["generator"].layer, networks["discriminator"].layer


@pytest.mark.parametrize("preset", PRESETS)
def test_every_parameter_that_is_made_is_counted(preset: str) -> None:
    recipe = PRESETS[preset].recipe
    networks = PRESETS[preset].networks(Options(SHAPES[recipe.data], recipe.latent_dim, 0.1, recipe.norm, classes=10))
    for network, in_shape in networks.values():
        p = network.init(0, in_shape)
        rows = summarize(network, in_shape)
        assert sum(row.parameters for row in rows) == sum(view.size for view in p.trainable().values()) == p.count
        for row in rows:
            own = [view for path, view in p.trainable().items() if path.startswith(f"{row.path}/")]
            assert row.parameters == sum(view.size for view in own)


def test_flops_of_dcgan() -> None:
    """2 I O of a dense layer; 2 KH KW C O at each position of the smaller feature map of a convolution, either way."""
    generator, discriminator = dcgan()
    dense = 2 * 100 * (7 * 7 * 128)
    up = 7 * 7 * 2 * 4 * 4 * 128 * 64, 14 * 14 * 2 * 4 * 4 * 64 * 1
    assert [row.flops for row in summarize(generator, (100,)) if row.flops] == [dense, *up]
    down = 14 * 14 * 2 * 4 * 4 * 1 * 64, 7 * 7 * 2 * 4 * 4 * 64 * 128
    assert [row.flops for row in summarize(discriminator, DIGITS) if row.flops] == [*down, 2 * (7 * 7 * 128) * 1]
    assert generator.flops((100,)) == dense + sum(up)


def test_memory_is_what_each_layer_puts_out_but_for_views() -> None:
    rows = summarize(Sequential(Dense(6, 8), Reshape(2, 2, 2), LeakyReLU(), Flatten(), Dense(8, 1)), (6,))
    assert [row.activation_bytes for row in rows] == [4 * 8, 0, 4 * 8, 0, 4]


def test_nested_sequentials_are_opened_and_a_residual_is_one_row() -> None:
    branch = Sequential(Conv2d(3, 3, 3, bias=False))
    network = Sequential(("body", Sequential(Residual(branch), Flatten())), ("head", Dense(75, 2)))
    rows = summarize(network, (5, 5, 3))
    assert [(row.path, row.kind, row.out_shape) for row in rows] == [
        ("body/residual1", "Residual", (5, 5, 3)),
        ("body/flatten1", "Flatten", (75,)),
        ("head", "Dense", (2,)),
    ]
    assert [row.parameters for row in rows] == [3 * 3 * 3 * 3, 0, 75 * 2 + 2]
    assert rows[0].flops == 5 * 5 * 2 * 3 * 3 * 3 * 3


def test_branches_and_heads_are_opened() -> None:
    network = Sequential(Parallel(Dense(2, 3), Sequential()), Concat(), Fork(Dense(5, 1), Sequential(Dense(5, 4))))
    rows = summarize(network, ((2,), (2,)))
    assert [row.path for row in rows] == ["parallel1/branch1", "concat1", "fork1/head1", "fork1/head2/dense1"]
    assert "net: 2 and 2 -> 1 and 4" in table("net", network, ((2,), (2,)), 1)
    assert "embedding: label -> 3" in table("embedding", Embedding(4, 3), (), 1)


def test_several_inputs_are_summed_and_shown() -> None:
    network = Sequential(Parallel(Dense(2, 3), Dense(4, 5)), Concat())
    rows = summarize(network, ((2,), (4,)))
    assert [row.activation_bytes for row in rows] == [4 * 3, 4 * 5, 4 * 8]
    assert "two: 2 and 4 -> 8" in table("two", network, ((2,), (4,)), 1)


def test_the_table_shows_layers_totals_and_a_batch() -> None:
    generator, _ = dcgan()
    text = table("generator", generator, (100,), batch_size=64)
    lines = text.splitlines()
    assert lines[0] == "generator: 100 -> 28x28x1"
    assert lines[2].split() == ["dense1", "Dense", "6272", "627,200", "1.254", "24.5", "KiB"]
    total = 627_200 + 2 * 128 + 16 * 128 * 64 + 2 * 64 + (16 * 64 + 1)
    assert lines[-2].split()[:2] == ["total", f"{total:,}"]
    flops = 64 * generator.flops((100,)) / 1e9
    held = 64 * 4 * (7 * 7 * 128 * 2 + 14 * 14 * 64 * 2 + 28 * 28) / 2**20
    weights = 4 * total / 2**20
    assert lines[-1] == (
        f"  a batch of 64: {flops:.2f} GFLOP forward, {held:.1f} MiB of activations, {weights:.1f} MiB of weights"
    )
