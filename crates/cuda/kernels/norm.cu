// Batch norm of maps [rows, c], with an optional residual and ReLU behind it.

// Mean and sum of squared deviations of each channel of a slab: part [slabs, 2, c]. Sums are of x minus the slab's first
// row: E[x²] − mean² would cancel.
template <int V> __device__ __forceinline__ void moments_of(const real* __restrict__ x, float* part, int rows, int c, int slab, float* shared) {
  Part p = part_of<V>(rows, c, slab);
  float first[V] = {}, a[V] = {}, b[V] = {};
  int start = blockIdx.y * slab;
  if (p.c0 < c) load<V>(x + (long long)start * c + p.c0, first);
  each_row<4>(p, [&](int row) {
    float v[V];
    load<V>(x + (long long)row * c + p.c0, v);
#pragma unroll
    for (int i = 0; i < V; i++) { float d = v[i] - first[i]; a[i] += d; b[i] += d * d; }
  });
  sum_rows<V>(a, shared);
  sum_rows<V>(b, shared);
  if (threadIdx.y == 0 && p.c0 < c) {
    float n = (float)(p.end - start);
#pragma unroll
    for (int i = 0; i < V; i++) {
      float mean = a[i] / n, m2 = b[i] - a[i] * mean;
      part[(long long)(blockIdx.y * 2) * c + p.c0 + i] = first[i] + mean;
      part[(long long)(blockIdx.y * 2 + 1) * c + p.c0 + i] = m2 > 0.0f ? m2 : 0.0f;
    }
  }
}
extern "C" __global__ void __launch_bounds__(256) moments(const real* x, float* part, int rows, int c, int slab) {
  __shared__ float shared[256 * W];
  if (c % W == 0) moments_of<W>(x, part, rows, c, slab, shared); else moments_of<1>(x, part, rows, c, slab, shared);
}

struct Moments { float n, mean, m2; };
// Chan, Golub, LeVeque (1979).
__device__ __forceinline__ Moments merge(Moments a, Moments b) {
  Moments r;
  r.n = a.n + b.n;
  if (r.n == 0.0f) return a;
  float d = b.mean - a.mean, share = b.n / r.n;
  r.mean = a.mean + d * share;
  r.m2 = a.m2 + b.m2 + d * d * a.n * share;
  return r;
}
// Blocks that merge slabs: ACROSS channels × LANES threads, each of which takes every LANES-th slab.
enum { ACROSS = 8, LANES = 64 };
// Merges the slabs of `moments`. Writes mean, 1/σ, scale = γ/σ and shift = β − mean·scale, and
// moves the running statistics.
extern "C" __global__ void __launch_bounds__(512) norm_finish(const float* part, int slabs, int rows, int slab, int c, const float* gamma, const float* beta,
    float eps, float momentum, float* running_mean, float* running_var, float* mean, float* inv_std, float* scale, float* shift) {
  __shared__ float shared[3][LANES][ACROSS];
  int ch = blockIdx.x * ACROSS + threadIdx.x;
  Moments m = {0.0f, 0.0f, 0.0f};
  if (ch < c) {
#pragma unroll 4
    for (int s = threadIdx.y; s < slabs; s += LANES) {
      int left = rows - s * slab;
      Moments other = {(float)(left < slab ? left : slab), part[(long long)(2 * s) * c + ch], part[(long long)(2 * s + 1) * c + ch]};
      m = merge(m, other);
    }
  }
  for (int half = LANES / 2; half > 0; half /= 2) {
    if ((int)threadIdx.y >= half && (int)threadIdx.y < 2 * half) {
      shared[0][threadIdx.y][threadIdx.x] = m.n; shared[1][threadIdx.y][threadIdx.x] = m.mean; shared[2][threadIdx.y][threadIdx.x] = m.m2;
    }
    __syncthreads();
    if ((int)threadIdx.y < half) {
      int y = threadIdx.y + half;
      Moments other = {shared[0][y][threadIdx.x], shared[1][y][threadIdx.x], shared[2][y][threadIdx.x]};
      m = merge(m, other);
    }
    __syncthreads();
  }
  if (threadIdx.y > 0 || ch >= c) return;
  float var = m.m2 / m.n, inv = 1.0f / sqrtf(var + eps), a = gamma[ch] * inv;
  mean[ch] = m.mean; inv_std[ch] = inv; scale[ch] = a; shift[ch] = beta[ch] - m.mean * a;
  if (running_mean) {
    running_mean[ch] += momentum * (m.mean - running_mean[ch]);
    running_var[ch] += momentum * (m.m2 / fmaxf(m.n - 1.0f, 1.0f) - running_var[ch]);
  }
}
// As `norm_finish`, from running statistics.
extern "C" __global__ void norm_running(int c, const float* gamma, const float* beta, float eps, const float* running_mean, const float* running_var,
    float* mean, float* inv_std, float* scale, float* shift) {
  int ch = blockIdx.x * blockDim.x + threadIdx.x;
  if (ch >= c) return;
  float inv = 1.0f / sqrtf(running_var[ch] + eps), a = gamma[ch] * inv;
  mean[ch] = running_mean[ch]; inv_std[ch] = inv; scale[ch] = a; shift[ch] = beta[ch] - running_mean[ch] * a;
}

template <int V> __device__ __forceinline__ void apply_of(const real* __restrict__ x, const float* scale, const float* shift, const real* __restrict__ residual, real* __restrict__ y,
    int rows, int c, int slab, int relu) {
  Part p = part_of<V>(rows, c, slab);
  if (p.c0 >= c) return;
  float a[V], b[V];
  channel<V>(scale + p.c0, a);
  channel<V>(shift + p.c0, b);
  each_row<4>(p, [&](int row) {
    long long at = (long long)row * c + p.c0;
    float v[V], r[V];
    load<V>(x + at, v);
    if (residual) load<V>(residual + at, r);
#pragma unroll
    for (int i = 0; i < V; i++) {
      v[i] = fmaf(v[i], a[i], b[i]);
      if (residual) v[i] += r[i];
      if (relu && v[i] < 0.0f) v[i] = 0.0f;
    }
    save<V>(y + at, v);
  });
}
// y = x·scale + shift, plus `residual` where there is one, then a ReLU where `relu` says so.
extern "C" __global__ void __launch_bounds__(256) norm_apply(const real* x, const float* scale, const float* shift, const real* residual, real* y, int rows, int c, int slab, int relu) {
  if (c % W == 0) apply_of<W>(x, scale, shift, residual, y, rows, c, slab, relu); else apply_of<1>(x, scale, shift, residual, y, rows, c, slab, relu);
}

// The gradient before the ReLU: dy, plus `dy2` where a map was read twice. `mask`: 0 no ReLU, 1 by x·scale + shift, 2 by y.
template <int V> __device__ __forceinline__ void before_relu(float* d, const real* dy, const real* dy2, const float* x, const real* y, const float* scale, const float* shift, long long at, int mask) {
  float other[V];
  load<V>(dy + at, d);
  if (dy2) {
    load<V>(dy2 + at, other);
#pragma unroll
    for (int i = 0; i < V; i++) d[i] += other[i];
  }
  if (mask == 2) load<V>(y + at, other);
#pragma unroll
  for (int i = 0; i < V; i++) {
    if (mask == 1) other[i] = fmaf(x[i], scale[i], shift[i]);
    if (mask && !(other[i] > 0.0f)) d[i] = 0.0f;
  }
}
template <int V> __device__ __forceinline__ void reduce_of(const real* __restrict__ dy, const real* __restrict__ dy2, const real* __restrict__ x, const real* __restrict__ y, const float* scale, const float* shift, const float* mean,
    const float* inv_std, real* __restrict__ dz, float* part, int rows, int c, int slab, int mask, float* shared) {
  Part p = part_of<V>(rows, c, slab);
  float a[V] = {}, b[V] = {}, m[V] = {}, inv[V] = {}, s[V] = {}, t[V] = {};
  if (p.c0 < c) {
    channel<V>(mean + p.c0, m);
    channel<V>(inv_std + p.c0, inv);
    channel<V>(scale + p.c0, s);
    channel<V>(shift + p.c0, t);
  }
  each_row<2>(p, [&](int row) {
    long long at = (long long)row * c + p.c0;
    float v[V], d[V];
    load<V>(x + at, v);
    before_relu<V>(d, dy, dy2, v, y, s, t, at, mask);
    if (dz) save<V>(dz + at, d);
#pragma unroll
    for (int i = 0; i < V; i++) { a[i] += d[i]; b[i] = fmaf(d[i], (v[i] - m[i]) * inv[i], b[i]); }
  });
  sum_rows<V>(a, shared);
  sum_rows<V>(b, shared);
  if (threadIdx.y == 0 && p.c0 < c) {
#pragma unroll
    for (int i = 0; i < V; i++) {
      part[(long long)(blockIdx.y * 2) * c + p.c0 + i] = a[i];
      part[(long long)(blockIdx.y * 2 + 1) * c + p.c0 + i] = b[i];
    }
  }
}
// Sums of dz and of dz·(x − mean)/σ of each slab: part [slabs, 2, c]; dz, the gradient before the ReLU, where it is wanted.
extern "C" __global__ void __launch_bounds__(256) norm_reduce(const real* dy, const real* dy2, const real* x, const real* y, const float* scale, const float* shift, const float* mean, const float* inv_std,
    real* dz, float* part, int rows, int c, int slab, int mask) {
  __shared__ float shared[256 * W];
  if (c % W == 0) reduce_of<W>(dy, dy2, x, y, scale, shift, mean, inv_std, dz, part, rows, c, slab, mask, shared);
  else reduce_of<1>(dy, dy2, x, y, scale, shift, mean, inv_std, dz, part, rows, c, slab, mask, shared);
}

// The sum over slabs of part [slabs, 2, c] in a block of ACROSS × LANES threads; in row 0.
__device__ __forceinline__ void sum_slabs(const float* part, int slabs, int c, int ch, float* a, float* b, float (*shared)[LANES][ACROSS]) {
  float s = 0.0f, t = 0.0f;
  if (ch < c) {
#pragma unroll 4
    for (int i = threadIdx.y; i < slabs; i += LANES) { s += part[(long long)(2 * i) * c + ch]; t += part[(long long)(2 * i + 1) * c + ch]; }
  }
  shared[0][threadIdx.y][threadIdx.x] = s; shared[1][threadIdx.y][threadIdx.x] = t;
  __syncthreads();
  for (int half = LANES / 2; half > 0; half /= 2) {
    if ((int)threadIdx.y < half) {
      shared[0][threadIdx.y][threadIdx.x] += shared[0][threadIdx.y + half][threadIdx.x];
      shared[1][threadIdx.y][threadIdx.x] += shared[1][threadIdx.y + half][threadIdx.x];
    }
    __syncthreads();
  }
  *a = shared[0][0][threadIdx.x]; *b = shared[1][0][threadIdx.x];
}
// dγ, dβ and the factors of dx = f0·dz + f1·(x − mean) + f2: factors [3, c]. `training` 0: statistics were constants.
extern "C" __global__ void __launch_bounds__(512) norm_gradients(const float* part, int slabs, int rows, int c, const float* gamma, const float* inv_std, int training, float* dgamma, float* dbeta, float* factors) {
  __shared__ float shared[2][LANES][ACROSS];
  int ch = blockIdx.x * ACROSS + threadIdx.x;
  float a, b;
  sum_slabs(part, slabs, c, ch, &a, &b, shared);
  if (threadIdx.y > 0 || ch >= c) return;
  dbeta[ch] = a; dgamma[ch] = b;
  float f = gamma[ch] * inv_std[ch], n = training ? 1.0f / (float)rows : 0.0f;
  factors[ch] = f; factors[c + ch] = -f * inv_std[ch] * b * n; factors[2 * c + ch] = -f * a * n;
}

template <int V> __device__ __forceinline__ void input_of(const real* __restrict__ dy, const real* __restrict__ dy2, const real* __restrict__ x, const real* __restrict__ y, const float* scale, const float* shift, const float* mean,
    const float* factors, real* __restrict__ dx, int rows, int c, int slab, int mask) {
  Part p = part_of<V>(rows, c, slab);
  if (p.c0 >= c) return;
  float m[V], s[V], t[V], f0[V], f1[V], f2[V];
  channel<V>(mean + p.c0, m);
  channel<V>(scale + p.c0, s);
  channel<V>(shift + p.c0, t);
  channel<V>(factors + p.c0, f0);
  channel<V>(factors + c + p.c0, f1);
  channel<V>(factors + 2 * c + p.c0, f2);
  each_row<2>(p, [&](int row) {
    long long at = (long long)row * c + p.c0;
    float v[V], d[V];
    load<V>(x + at, v);
    before_relu<V>(d, dy, dy2, v, y, s, t, at, mask);
#pragma unroll
    for (int i = 0; i < V; i++) d[i] = fmaf(f0[i], d[i], fmaf(f1[i], v[i] - m[i], f2[i]));
    save<V>(dx + at, d);
  });
}
// The input gradient; arguments as of `norm_reduce`, `factors` from `norm_gradients`. With dz saved: dy = dz, mask 0.
extern "C" __global__ void __launch_bounds__(256) norm_input(const real* dy, const real* dy2, const real* x, const real* y, const float* scale, const float* shift, const float* mean, const float* factors,
    real* dx, int rows, int c, int slab, int mask) {
  if (c % W == 0) input_of<W>(dy, dy2, x, y, scale, shift, mean, factors, dx, rows, c, slab, mask);
  else input_of<1>(dy, dy2, x, y, scale, shift, mean, factors, dx, rows, c, slab, mask);
}
