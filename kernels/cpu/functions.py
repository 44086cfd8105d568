"""Elementary functions that LLVM turns into vector code: no table, no branch, no call into the C library.

In a loop over an array `math.tanh` costs a call per element; the functions here are a few dozen multiplications and
additions that LLVM carries out on a whole vector at once. For float32:

    exp, expm1   x = k log 2 + r, |r| <= log(2)/2;  exp(r) - 1 = r + r^2 P(r);  times 2^k, made of its bits
    tanh         t/(t + 2) with t = expm1(2|x|), which keeps the digits of small x
    log1p        log(1 + f) = f - f^2/2 + f^3 P(f), after halving 1 + x where it exceeds sqrt(2)

Coefficients of P are those of Cephes (Moshier, expf.c and logf.c). In float64, which serves checks, these four are
NumPy's. `log` and `cos_sin` are for random normals and float64 only, with the reductions and coefficients of fdlibm
(Sun Microsystems, e_log.c, k_sin.c, k_cos.c).

Largest errors measured, in units in the last place: exp 1.0, expm1 1.5, log1p 1.5, softplus 1.7, tanh and sigmoid 2.4
in float32; log 1.0, cos and sin 1.4 in float64.

Infinity gives the limit and NaN gives NaN: hence comparisons are written so that NaN falls through them. A literal in
an expression would widen float32 to float64: hence the typed constants.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .jit import kernel

_F4 = np.float32
_EXP = (
    _F4(1.9875691500e-4),
    _F4(1.3981999507e-3),
    _F4(8.3334519073e-3),
    _F4(4.1665795894e-2),
    _F4(1.6666665459e-1),
    _F4(5.0000001201e-1),
)
_LOG1P = (
    _F4(7.0376836292e-2),
    _F4(-1.1514610310e-1),
    _F4(1.1676998740e-1),
    _F4(-1.2420140846e-1),
    _F4(1.4249322787e-1),
    _F4(-1.6668057665e-1),
    _F4(2.0000714765e-1),
    _F4(-2.4999993993e-1),
    _F4(3.3333331174e-1),
)

_LOG = (
    1.479819860511658591e-1,
    1.531383769920937332e-1,
    1.818357216161805012e-1,
    2.222219843214978396e-1,
    2.857142874366239149e-1,
    3.999999999940941908e-1,
    6.666666666666735130e-1,
)
_SIN = (
    1.58969099521155010221e-10,
    -2.50507602534068634195e-8,
    2.75573137070700676789e-6,
    -1.98412698298579493134e-4,
    8.33333333332248946124e-3,
    -1.66666666666666324348e-1,
)
_COS = (
    -1.13596475577881948265e-11,
    2.08757232129817482790e-9,
    -2.75573143513906633035e-7,
    2.48015872894767294178e-5,
    -1.38888888888741095749e-3,
    4.16666666666666019037e-2,
)

# Added and taken away again, it rounds a float to a whole number, which meanwhile stands in the lowest bits.
_ROUND_F4 = _F4(1.5 * 2**23)
_ROUND_F4_BITS = np.int32(_ROUND_F4.view(np.int32))
_ROUND_F8 = 1.5 * 2**52

_LOG2_E = _F4(1.44269504)
# Each pair adds up to log 2 or pi/2; a product of the first with a small whole number is exact.
_LOG_2 = (_F4(0.693359375), _F4(-2.12194440e-4))
_LOG_2_F8 = (6.93147180369123816490e-1, 1.90821492927058770002e-10)
_HALF_PI = (1.57079632673412561417, 6.07710050650619224932e-11)


def _by_dtype(single: Callable[..., Any], double: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one number that is `single` on float32 and `double` else, settled when its caller is compiled."""

    def dispatch(x: np.floating) -> Any:
        return single(x) if isinstance(x, np.float32) else double(x)

    @overload(dispatch)
    def choose(x: Any) -> Callable[[Any], Any]:
        chosen = single if x == types.float32 else double

        def call(x: Any) -> Any:
            return chosen(x)

        return call

    return dispatch


@kernel
def clamp(x: np.floating, low: np.floating, high: np.floating) -> np.floating:
    """min(max(x, low), high); NaN stays NaN."""
    raised = low if x < low else x
    return high if raised > high else raised


@kernel
def _polynomial(x: np.floating, coefficients: tuple[np.floating, ...]) -> np.floating:
    """Horner's rule, the highest power first."""
    value = coefficients[0]
    for c in coefficients[1:]:
        value = value * x + c
    return value


@kernel
def _power_of_two(k: np.integer) -> np.floating:
    """2^k in float32, -126 <= k <= 127."""
    return np.int32((k + 127) << 23).view(np.float32)


@kernel
def _expm1_reduced(x: np.floating) -> tuple[np.floating, np.integer]:
    """(exp(r) - 1, k) for x = k log 2 + r."""
    rounded = x * _LOG2_E + _ROUND_F4
    k = rounded - _ROUND_F4
    r = x - k * _LOG_2[0] - k * _LOG_2[1]
    whole = np.float32(rounded).view(np.int32) - _ROUND_F4_BITS
    return _polynomial(r, _EXP) * (r * r) + r, whole


@kernel
def _exp_single(x: np.floating) -> np.floating:
    """2^k exp(r), in two factors, so that a subnormal result and k = 128 need no case of their own."""
    e, k = _expm1_reduced(clamp(x, _F4(-104), _F4(89)))
    half = k >> 1
    return (e + _F4(1)) * _power_of_two(half) * _power_of_two(k - half)


@kernel
def _expm1_single(x: np.floating) -> np.floating:
    """2^k (exp(r) - 1) + (2^k - 1), all of it halved and doubled again, since k may be 128."""
    e, k = _expm1_reduced(clamp(x, _F4(-20), _F4(89)))
    half = _power_of_two(k - 1)
    return _F4(2) * (half * e + (half - _F4(0.5)))


@kernel
def _tanh_single(x: np.floating) -> np.floating:
    """From |x|, so that it is odd in every bit."""
    t = _expm1_single(clamp(abs(x + x), _F4(0), _F4(20)))
    y = t / (t + _F4(2))
    return -y if x < _F4(0) else y


@kernel
def _log1p_single(x: np.floating) -> np.floating:
    """For 0 <= x <= 1."""
    far = x > _F4(0.41421356)
    f = _F4(0.5) * x - _F4(0.5) if far else x
    square = f * f
    value = f + (_polynomial(f, _LOG1P) * f * square - _F4(0.5) * square)
    return value + _F4(0.69314718) if far else value


exp = _by_dtype(_exp_single, np.exp)
expm1 = _by_dtype(_expm1_single, np.expm1)
tanh = _by_dtype(_tanh_single, np.tanh)
log1p = _by_dtype(_log1p_single, np.log1p)


@kernel
def sigmoid(z: np.floating) -> np.floating:
    """1/(1 + exp(-z)) without overflow: exp is only ever taken of -|z|."""
    one = type(z)(1)
    e = exp(-abs(z))
    return (one if z >= type(z)(0) else e) / (one + e)


@kernel
def softplus(z: np.floating) -> np.floating:
    """log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|))."""
    zero = type(z)(0)
    return (zero if z < zero else z) + log1p(exp(-abs(z)))


@kernel
def log(u: np.floating) -> np.floating:
    """Of a positive, normal float64: u = 2^k m with m in [sqrt(1/2), sqrt(2)), s = f/(2 + f), f = m - 1."""
    smallest = np.uint64(0x3FE6A09E00000000)  # sqrt(1/2)
    bits = np.float64(u).view(np.uint64) + (np.uint64(0x3FF0000000000000) - smallest)
    m = np.uint64((bits & np.uint64(0x000FFFFFFFFFFFFF)) + smallest).view(np.float64)
    # The exponent as the low bits of a float near 2^52: AVX2 cannot convert 64-bit integers.
    k = np.uint64((bits >> np.uint64(52)) | np.uint64(0x4330000000000000)).view(np.float64) - (2.0**52 + 1023.0)
    f = m - 1.0
    s = f / (2.0 + f)
    square = s * s
    half = 0.5 * f * f
    tail = s * (half + square * _polynomial(square, _LOG)) + k * _LOG_2_F8[1]
    return k * _LOG_2_F8[0] - ((half - tail) - f)


@kernel
def cos_sin(angle: np.floating) -> tuple[np.floating, np.floating]:
    """(cos, sin) of a float64 angle of a few turns at most, 1e-10 or more from their zeros: k pi/2 + r, |r| <= pi/4."""
    rounded = angle * (2.0 / np.pi) + _ROUND_F8
    k = rounded - _ROUND_F8
    r = (angle - k * _HALF_PI[0]) - k * _HALF_PI[1]
    square = r * r
    sine = r + r * square * _polynomial(square, _SIN)
    cosine = 1.0 - (0.5 * square - square * square * _polynomial(square, _COS))
    quadrant = np.float64(rounded).view(np.uint64)
    odd = (quadrant & np.uint64(1)) != np.uint64(0)
    c, s = (sine, cosine) if odd else (cosine, sine)
    negative_cosine = ((quadrant + np.uint64(1)) & np.uint64(2)) != np.uint64(0)
    negative_sine = (quadrant & np.uint64(2)) != np.uint64(0)
    return -c if negative_cosine else c, -s if negative_sine else s
