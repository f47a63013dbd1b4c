// Optimizer, and what methods do to filters: one block a row of the parameters, whose layout is one array of f32.

// A row: `len` values from `start`. Its norm is put back to `target` where that is not negative (weight rescaling), and
// `decay` pulls it to 0, coupled to the gradient or (decoupled != 0) not. Its gradient is among those of f32, or where a
// convolution wrote it (narrow != 0) among those of the maps' type.
struct Row { long long start; int len; float decay; float target; int decoupled, narrow, unused; };
// What a schedule moves, in device memory so that a captured step sees it.
struct Rates { float lr, momentum, beta2, eps; int nesterov, step; };

// Puts the row's norm back and writes the copy that convolutions read. Threads meet their own values again.
__device__ __forceinline__ void settle(Row row, float square, float* w, real* copy, float* norms, float* shared) {
  float norm = sqrtf(sum_block(square, shared)), factor = 1.0f;
  if (row.target >= 0.0f && norm > 0.0f) factor = row.target / norm;
  if (threadIdx.x == 0) norms[blockIdx.x] = norm;
  for (int i = threadIdx.x; i < row.len; i += blockDim.x) {
    float v = w[row.start + i] * factor;
    if (factor != 1.0f) w[row.start + i] = v;
    if (copy) copy[row.start + i] = put(v);
  }
}
__device__ __forceinline__ float gradient_at(Row row, const float* g, const real* maps_g, long long at) { return row.narrow ? get(maps_g[at]) : g[at]; }
// SGD as torch's: m ← μ·m + g + decay·w, w ← w − lr·m (Nesterov: g + μ·m). `norms` [rows]: before weights were rescaled.
extern "C" __global__ void __launch_bounds__(256) step_sgd(const Row* rows, const Rates* rates, const float* g, const real* maps_g, float* m, float* w, real* copy, float* norms) {
  __shared__ float shared[32];
  Row row = rows[blockIdx.x];
  Rates r = *rates;
  float square = 0.0f, shrink = row.decoupled ? 1.0f - r.lr * row.decay : 1.0f, coupled = row.decoupled ? 0.0f : row.decay;
#pragma unroll 4
  for (int i = threadIdx.x; i < row.len; i += blockDim.x) {
    long long at = row.start + i;
    float v = w[at], d = fmaf(coupled, v, gradient_at(row, g, maps_g, at)), u = fmaf(r.momentum, m[at], d);
    m[at] = u;
    v = fmaf(-r.lr, r.nesterov ? fmaf(r.momentum, u, d) : u, v * shrink);
    w[at] = v;
    square = fmaf(v, v, square);
  }
  settle(row, square, w, copy, norms, shared);
}
// Adam (decoupled rows: AdamW); `step` counts from 1.
extern "C" __global__ void __launch_bounds__(256) step_adam(const Row* rows, const Rates* rates, const float* g, const real* maps_g, float* m, float* s, float* w, real* copy, float* norms) {
  __shared__ float shared[32];
  Row row = rows[blockIdx.x];
  Rates r = *rates;
  float square = 0.0f, shrink = row.decoupled ? 1.0f - r.lr * row.decay : 1.0f, coupled = row.decoupled ? 0.0f : row.decay;
  float first = 1.0f - powf(r.momentum, (float)r.step), second = sqrtf(1.0f - powf(r.beta2, (float)r.step));
  for (int i = threadIdx.x; i < row.len; i += blockDim.x) {
    long long at = row.start + i;
    float v = w[at], d = fmaf(coupled, v, gradient_at(row, g, maps_g, at));
    float mean = r.momentum * m[at] + (1.0f - r.momentum) * d, var = r.beta2 * s[at] + (1.0f - r.beta2) * d * d;
    m[at] = mean; s[at] = var;
    v = v * shrink - r.lr / first * mean / (sqrtf(var) / second + r.eps);
    w[at] = v;
    square = fmaf(v, v, square);
  }
  settle(row, square, w, copy, norms, shared);
}
// Counts a step, by one thread: the last kernel of a captured step.
extern "C" __global__ void count_step(Rates* rates) { if (threadIdx.x == 0) rates->step += 1; }

// Weight standardization (arXiv 1903.10520) of rows of `len` values, one block each: y = (w − mean)/(σ + eps); keeps mean
// and 1/(σ + eps).
extern "C" __global__ void __launch_bounds__(256) standardize(const float* w, real* y, float* mean, float* inverse, int len, float eps) {
  __shared__ float shared[32];
  const float* row = w + (long long)blockIdx.x * len;
  float a = 0.0f, b = 0.0f;
  for (int i = threadIdx.x; i < len; i += blockDim.x) a += row[i];
  a = sum_block(a, shared) / (float)len;
  for (int i = threadIdx.x; i < len; i += blockDim.x) { float d = row[i] - a; b = fmaf(d, d, b); }
  float inv = 1.0f / (sqrtf(sum_block(b, shared) / (float)len) + eps);
  for (int i = threadIdx.x; i < len; i += blockDim.x) y[(long long)blockIdx.x * len + i] = put((row[i] - a) * inv);
  if (threadIdx.x == 0) { mean[blockIdx.x] = a; inverse[blockIdx.x] = inv; }
}
// The gradient of `standardize`.
extern "C" __global__ void __launch_bounds__(256) standardize_gradient(const float* w, const float* dy, const float* mean, const float* inverse, float* dw, int len, float eps) {
  __shared__ float shared[32];
  long long start = (long long)blockIdx.x * len;
  float a = 0.0f, b = 0.0f, m = mean[blockIdx.x], inv = inverse[blockIdx.x];
  for (int i = threadIdx.x; i < len; i += blockDim.x) { float d = dy[start + i]; a += d; b = fmaf(d, (w[start + i] - m) * inv, b); }
  a = sum_block(a, shared) / (float)len;
  b = sum_block(b, shared) / (float)len;
  float sigma = 1.0f / inv - eps;
  for (int i = threadIdx.x; i < len; i += blockDim.x) {
    float along = sigma > 0.0f ? (w[start + i] - m) / sigma * b : 0.0f;
    dw[start + i] = (dy[start + i] - a - along) * inv;
  }
}
