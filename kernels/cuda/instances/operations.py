"""The kernels of everything but matrix products and convolutions, for both element types."""

from collections.abc import Mapping, Sequence

from ..source import Instance

THREADS = 256
"""Per block, of all kernels here."""

REALS = ("float", "double")
INDICES = ("int", "long long")
"""What labels may be."""

BY_REAL = {
    "elementwise.cu": (
        "activation", "activation_grad", "activation_double_grad", "add", "multiply", "scale_shift", "axpy", "fill",
        "clip", "scale_samples",
    ),
    "move.cu": ("copy_runs",),
    "sums.cu": ("row_sums", "square_sums", "add_totals", "squared_norms", "clip_norm"),
    "cross_entropy.cu": ("mean_loss",),
    "channel_norm.cu": (
        "channel_moments", "channel_statistics", "channel_normalise", "channel_gradient_sums", "channel_gradient",
    ),
    "layer_norm.cu": (
        "layer_norm", "layer_gradient", "layer_weight_sums", "layer_double_gradient", "layer_gain_sums",
    ),
    "windows.cu": ("window_sum", "window_spread", "window_max", "window_pick", "window_pick_adjoint"),
    "updates.cu": ("sgd", "rmsprop", "adam", "moving_average"),
    "random.cu": ("uniform", "normal", "dropout_mask"),
}  # fmt: skip
"""Templates over the element type alone."""

BY_REAL_AND_INDEX = {"move.cu": ("gather_rows", "scatter_add_rows"), "cross_entropy.cu": ("softmax_cross_entropy",)}

BY_INDEX = {"elementwise.cu": ("fill",)}

BY_SAMPLE = {"move.cu": ("gather_samples",)}
SAMPLES = (*(f"{real}, {kept}" for real in REALS for kept in ("unsigned char", real)), "long long, long long")
"""What a batch is made of, and how the data set keeps it: pixels as bytes."""

PLAIN = {"updates.cu": ("set_now",), "random.cu": ("set_step",), "tape.cu": ("next_row",)}


def _rows(kernels: Mapping[str, tuple[str, ...]], arguments: Sequence[str]) -> tuple[Instance, ...]:
    return tuple(
        Instance(file, f"{name}{argument}", THREADS, unit=f"{file}{argument}")
        for file, names in kernels.items()
        for name in names
        for argument in arguments
    )


OPERATIONS = (
    *_rows(BY_REAL, [f"<{real}>" for real in REALS]),
    *_rows(BY_REAL_AND_INDEX, [f"<{real}, {index}>" for real in REALS for index in INDICES]),
    *_rows(BY_SAMPLE, [f"<{sample}>" for sample in SAMPLES]),
    *_rows(BY_INDEX, [f"<{index}>" for index in INDICES]),
    *_rows(PLAIN, [""]),
)
