// The activations of kernels/activations.py by whole-number code: f, f' and f'' at one number.
//
// f is a function of z; f' and f'' are functions of what the forward pass keeps, y (SiLU: x). All threads of a launch
// take the same branch of the switch, so it costs no divergence. NaN goes through every one of them.
#pragma once
#include "numbers.cuh"

enum Activation { IDENTITY, RELU, LEAKY_RELU, ELU, TANH, SIGMOID, SOFTPLUS, SILU };

// 1/(1 + exp(-z)) without overflow: exp is only ever taken of -|z|.
template <class T>
__device__ __forceinline__ T sigmoid(T z) {
  const T e = exp(-fabs(z));
  return (z >= 0 ? T(1) : e) / (T(1) + e);
}

// f(z); `parameter` is the slope of leaky ReLU and the alpha of ELU.
template <class T>
__device__ __forceinline__ T activate(int code, T parameter, T z) {
  switch (code) {
    case RELU: return z < 0 ? T(0) : z;
    case LEAKY_RELU: return z > 0 ? z : parameter * z;
    case ELU: return z > 0 ? z : parameter * expm1(z);
    case TANH: return tanh(z);
    case SIGMOID: return sigmoid(z);
    case SOFTPLUS: return (z < 0 ? T(0) : z) + log1p(exp(-fabs(z)));
    case SILU: return z * sigmoid(z);
    default: return z;
  }
}

// f' from what was kept.
template <class T>
__device__ __forceinline__ T activation_slope(int code, T parameter, T kept) {
  switch (code) {
    case RELU: return kept > 0 ? T(1) : T(0);
    case LEAKY_RELU: return kept > 0 ? T(1) : parameter;
    case ELU: return kept > 0 ? T(1) : kept + parameter;
    case TANH: return T(1) - kept * kept;
    case SIGMOID: return kept * (T(1) - kept);
    case SOFTPLUS: return -expm1(-kept);
    case SILU: {
      const T s = sigmoid(kept);
      return s * (T(1) + kept * (T(1) - s));
    }
    default: return T(1);
  }
}

// f'' from what was kept; 0 for what is made of straight lines.
template <class T>
__device__ __forceinline__ T activation_curvature(int code, T parameter, T kept) {
  switch (code) {
    case ELU: return kept > 0 ? T(0) : kept + parameter;
    case TANH: return T(-2) * kept * (T(1) - kept * kept);
    case SIGMOID: return kept * (T(1) - kept) * (T(1) - T(2) * kept);
    case SOFTPLUS: return -expm1(-kept) * exp(-kept);
    case SILU: {
      const T s = sigmoid(kept);
      return s * (T(1) - s) * (T(2) + kept * (T(1) - T(2) * s));
    }
    default: return T(0);
  }
}
