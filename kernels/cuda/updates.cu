// Optimizer steps and moving averages over flat buffers: a thread owns elements, reads and writes each buffer once.
//
// The optimizers look at `guard`, the gradient's norm squared, on the device: where that is not finite they change
// nothing, and no step has to wait for the host to look. `now` holds what changes from step to step, {learning rate,
// t}, in device memory, so that a captured launch can be run again at another step. Weight decay is decoupled:
// p -= lr weight_decay p (Loshchilov and Hutter 2019).
#include "common.cuh"
#include "numbers.cuh"
#include "strided.cuh"

// now = {lr, t}, by one thread: numbers reach the device as arguments of a launch, in order with all others.
__global__ void set_now(double* now, double lr, double t) {
  now[0] = lr;
  now[1] = t;
}

// v = momentum v + g;  p -= lr v, or with Nesterov's look-ahead p -= lr (g + momentum v). velocity null: no momentum.
template <class T>
__global__ void sgd(T* __restrict__ p, const T* __restrict__ g, T* __restrict__ velocity, const T* __restrict__ guard,
                    const double* __restrict__ now, T momentum, int nesterov, double weight_decay, long long count) {
  if (!is_finite(guard[0])) return;
  const T lr = (T)now[0], keep = (T)(1 - now[0] * weight_decay);
  FOR_EACH_ELEMENT(i, count) {
    T direction = g[i];
    if (velocity) {
      const T v = momentum * velocity[i] + direction;
      velocity[i] = v;
      direction = nesterov ? direction + momentum * v : v;
    }
    p[i] = p[i] * keep - lr * direction;
  }
}

// v = decay v + (1 - decay) g^2;  p -= lr g/(sqrt(v) + eps)   (Tieleman and Hinton 2012).
template <class T>
__global__ void rmsprop(T* __restrict__ p, const T* __restrict__ g, T* __restrict__ v, const T* __restrict__ guard,
                        const double* __restrict__ now, double decay, T eps, double weight_decay, long long count) {
  if (!is_finite(guard[0])) return;
  const T lr = (T)now[0], keep = (T)(1 - now[0] * weight_decay), old_part = (T)decay, new_part = (T)(1 - decay);
  FOR_EACH_ELEMENT(i, count) {
    const T mean_square = old_part * v[i] + new_part * g[i] * g[i];
    v[i] = mean_square;
    p[i] = p[i] * keep - lr * g[i] / (sqrt(mean_square) + eps);
  }
}

// Kingma and Ba 2015, Algorithm 1, t = now[1]:
//
//   m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
//   p -= lr m/(1 - beta1^t) / (sqrt(v/(1 - beta2^t)) + eps)
//
// AMSGrad, where v_max is not null, divides by v_max = max(v_max, v) (Reddi, Kale and Kumar 2018, Algorithm 2).
template <class T>
__global__ void adam(T* __restrict__ p, const T* __restrict__ g, T* __restrict__ m, T* __restrict__ v,
                     T* __restrict__ v_max, const T* __restrict__ guard, const double* __restrict__ now, double beta1,
                     double beta2, T eps, double weight_decay, long long count) {
  if (!is_finite(guard[0])) return;
  const double lr = now[0], t = now[1];
  const T rate = (T)(lr / (1 - pow(beta1, t))), root = (T)(1 / sqrt(1 - pow(beta2, t)));
  const T keep = (T)(1 - lr * weight_decay);
  const T old1 = (T)beta1, new1 = (T)(1 - beta1), old2 = (T)beta2, new2 = (T)(1 - beta2);
  FOR_EACH_ELEMENT(i, count) {
    const T gradient = g[i];
    const T mean = old1 * m[i] + new1 * gradient, mean_square = old2 * v[i] + new2 * gradient * gradient;
    m[i] = mean;
    v[i] = mean_square;
    T top = mean_square;
    if (v_max) {
      const T before = v_max[i];
      top = before > top || before != before ? before : top;  // a NaN wins
      v_max[i] = top;
    }
    p[i] = p[i] * keep - rate * mean / (root * sqrt(top) + eps);
  }
}

// average = decay average + (1 - decay) x where x is finite.
template <class T>
__global__ void moving_average(T* __restrict__ average, const T* __restrict__ x, double decay, long long count) {
  const T old_part = (T)decay, new_part = (T)(1 - decay);
  FOR_EACH_ELEMENT(i, count) {
    if (is_finite(x[i])) average[i] = old_part * average[i] + new_part * x[i];
  }
}
