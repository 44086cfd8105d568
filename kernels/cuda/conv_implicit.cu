// The three convolutions, rungs 2 and 3: matrix products whose operands are read where they stand in the image.
//
//     Forward, one step of a block:                            w (KH KW C, O)
//                                                                  +--+----+
//        x (N, H, W, C)              Patches (N HO WO, KH KW C)    |  | B  |  16 taps and channels
//       +---------------+                   taps, channels         |  +----+
//       |  +-----+      |  a window is       +--+----+-----+       |  |    |
//       |  | / / |......|..................> |  | run|     |       +--+----+
//       |  | / / |      |  one line          |  | run|     |       +--+----+
//       |  +-----+      |                    |  | ...|     |       |  |####|   tile of y,
//       |               |                    +--+ A -+-----+       |  |####|   64 or 128 windows
//       +---------------+                                          +--+----+   by as many filters, or by 8
//
// Patches is KH KW / (SH SW) times as large as the image and is never written: a panel of it is copied straight from x,
// where the channels of a pixel lie side by side. Zeros of the border are copies of length 0. See convolution.cuh for
// the operands, phase.cuh for the input gradient, and gemm_warp.cu for what threads, warps and blocks do with a panel.
//
// A line of Patches costs two divisions to locate, so what stays the same along k is located once: lines for the
// forward product and the input gradient, columns for the weight gradient.
//
// Thread, warp, block and bytes as in rungs 6 and 7 of the matrix product. FLOPs: 2 N HO WO KH KW C O of each product;
// the input gradient does no more, having no zeros to multiply. gridDim.y blocks share the sums of a tile where y has
// too few tiles; dw, a small matrix with long sums, nearly always has.
#include "convolution.cuh"
#include "engine.cuh"
#include "epilogue.cuh"
#include "matrix.cuh"
#include "phase.cuh"

// y = f(x * w + bias). Tile: windows x filters.
template <typename T, int TILE, int PRODUCTS, int COLUMNS = TILE>
__global__ void __launch_bounds__(THREADS<TILE>)
conv2d_implicit(const T* __restrict__ x, const T* __restrict__ weights, const T* __restrict__ bias, T* __restrict__ y,
                CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  using A = Panel<Patches<T>, TILE, DEPTH, THREADS<TILE>, true>;
  using B = Panel<Matrix<T>, COLUMNS, DEPTH, THREADS<TILE>, false>;
  using Multiply = Engine<A, B, TILE, COLUMNS, PRODUCTS>;
  MG_DYN_SHARED(T, shared);
  const Convolution s = CONVOLUTION;
  const BlockTile at = block_tile<TILE, COLUMNS>(o);
  const Steps steps = steps_of_split<DEPTH>(s.patch());
  Multiply tile;
  multiply_panels<Multiply::STAGES>(A(Patches<T>{x, s}, at.row), B(Matrix<T>{weights, s.patch(), o}, at.column), shared,
                                    steps.first, steps.last, tile);
  T* const result = y + (size_t)blockIdx.y * s.windows() * o;
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<T>{result, at.row, s.windows(), o}, at.column, o);
}

// dx = f(adjoint + bias). Tile: pixels of phase blockIdx.z x channels. Phases differ in size by a row and a column.
template <typename T, int TILE, int PRODUCTS, int COLUMNS = TILE>
__global__ void __launch_bounds__(THREADS<TILE>)
conv2d_input_grad_implicit(const T* __restrict__ dy, const T* __restrict__ weights, const T* __restrict__ bias,
                           T* __restrict__ dx, CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  using A = Panel<Gradients<T>, TILE, DEPTH, THREADS<TILE>, true>;
  using B = Panel<PhaseWeights<T>, COLUMNS, DEPTH, THREADS<TILE>, true>;
  using Multiply = Engine<A, B, TILE, COLUMNS, PRODUCTS>;
  MG_DYN_SHARED(T, shared);
  const Convolution s = CONVOLUTION;
  const Phase phase(s, blockIdx.z);
  const BlockTile at = block_tile<TILE, COLUMNS>(c);
  if (at.row >= phase.pixels(s)) return;  // the whole block
  const Steps steps = steps_of_split<DEPTH>(phase.steps(s));
  Multiply tile;
  multiply_panels<Multiply::STAGES>(A(Gradients<T>{dy, s, phase}, at.row),
                                    B(PhaseWeights<T>{weights, s, phase}, at.column), shared, steps.first, steps.last,
                                    tile);
  T* const result = dx + (size_t)blockIdx.y * n * h * w * c;
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, PhaseRows<T>{result, s, phase, at.row}, at.column, c);
}

// dw (+)= adjoint. Tile: taps and channels x filters; k runs over all windows of all images.
template <typename T, int TILE, int PRODUCTS, int COLUMNS = TILE>
__global__ void __launch_bounds__(THREADS<TILE>)
conv2d_weight_grad_implicit(const T* __restrict__ x, const T* __restrict__ dy, const T* __restrict__ bias,
                            T* __restrict__ dw, CONVOLUTION_SIZES, int activation, T parameter, int accumulate) {
  using A = Panel<Patches<T>, TILE, DEPTH, THREADS<TILE>, false>;
  using B = Panel<Matrix<T>, COLUMNS, DEPTH, THREADS<TILE>, false>;
  using Multiply = Engine<A, B, TILE, COLUMNS, PRODUCTS>;
  MG_DYN_SHARED(T, shared);
  const Convolution s = CONVOLUTION;
  const BlockTile at = block_tile<TILE, COLUMNS>(o);
  const Steps steps = steps_of_split<DEPTH>(s.windows());
  Multiply tile;
  multiply_panels<Multiply::STAGES>(A(Patches<T>{x, s}, at.row), B(Matrix<T>{dy, s.windows(), o}, at.column), shared,
                                    steps.first, steps.last, tile);
  T* const result = dw + (size_t)blockIdx.y * s.patch() * o;
  const Epilogue<T> epilogue(bias, activation, parameter, accumulate);
  epilogue.deliver_tile(tile, MatrixRows<T>{result, at.row, s.patch(), o}, at.column, o);
}
