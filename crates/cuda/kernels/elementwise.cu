// Element by element, and what is little more.

template <int V> __device__ __forceinline__ void add_of(const real* a, const real* b, real* y, long long n, int relu) {
  for (long long i = grid_index(); i < n / V; i += grid_step()) {
    float v[V], w[V];
    load<V>(a + i * V, v);
    load<V>(b + i * V, w);
#pragma unroll
    for (int j = 0; j < V; j++) { v[j] += w[j]; if (relu && v[j] < 0.0f) v[j] = 0.0f; }
    save<V>(y + i * V, v);
  }
}
// y = a + b, then a ReLU where `relu` says so.
extern "C" __global__ void add(const real* a, const real* b, real* y, long long n, int relu) {
  if (n % W == 0) add_of<W>(a, b, y, n, relu); else add_of<1>(a, b, y, n, relu);
}

template <int V> __device__ __forceinline__ void relu_of(const real* x, const real* dy, real* y, long long n, float slope) {
  for (long long i = grid_index(); i < n / V; i += grid_step()) {
    float v[V], d[V];
    load<V>(x + i * V, v);
    if (dy) load<V>(dy + i * V, d);
#pragma unroll
    for (int j = 0; j < V; j++) { float from = dy ? d[j] : v[j]; v[j] = v[j] > 0.0f ? from : slope * from; }
    save<V>(y + i * V, v);
  }
}
// A ReLU of negative slope `slope`; or, where there is a `dy`, its gradient at x.
extern "C" __global__ void relu(const real* x, const real* dy, real* y, long long n, float slope) {
  if (n % W == 0) relu_of<W>(x, dy, y, n, slope); else relu_of<1>(x, dy, y, n, slope);
}

// f32 to the type of maps, and back.
extern "C" __global__ void from_f32(const float* x, real* y, long long n) {
  for (long long i = grid_index(); i < n; i += grid_step()) y[i] = put(x[i]);
}
extern "C" __global__ void to_f32(const real* x, float* y, long long n) {
  for (long long i = grid_index(); i < n; i += grid_step()) y[i] = get(x[i]);
}

// `count` channels of each row of x [rows, c_x], from channel `at_x`, to y [rows, c_y] from channel `at_y`.
extern "C" __global__ void copy_channels(const real* x, real* y, long long rows, int c_x, int at_x, int c_y, int at_y, int count) {
  bool wide = c_x % W == 0 && at_x % W == 0 && c_y % W == 0 && at_y % W == 0 && count % W == 0;
  int v = wide ? W : 1, vectors = count / v;
  for (long long i = grid_index(); i < rows * vectors; i += grid_step()) {
    long long row = i / vectors;
    int ch = (int)(i - row * vectors) * v;
    const real* from = x + row * c_x + at_x + ch;
    real* to = y + row * c_y + at_y + ch;
    if (wide) *(uint4*)to = *(const uint4*)from; else *to = *from;
  }
}

// x [rows, c] plus a bias a channel, in place.
extern "C" __global__ void add_bias(real* x, const float* bias, long long rows, int c) {
  for (long long i = grid_index(); i < rows * c; i += grid_step()) x[i] = put(get(x[i]) + bias[i % c]);
}
// Sums over a slab of rows of each channel: part [slabs, c]; the geometry of `moments`.
template <int V> __device__ __forceinline__ void column_sums_of(const real* __restrict__ x, float* part, int rows, int c, int slab, float* shared) {
  Part p = part_of<V>(rows, c, slab);
  float a[V] = {};
  each_row<4>(p, [&](int row) {
    float v[V];
    load<V>(x + (long long)row * c + p.c0, v);
#pragma unroll
    for (int i = 0; i < V; i++) a[i] += v[i];
  });
  sum_rows<V>(a, shared);
  if (threadIdx.y == 0 && p.c0 < c) {
#pragma unroll
    for (int i = 0; i < V; i++) part[(long long)blockIdx.y * c + p.c0 + i] = a[i];
  }
}
extern "C" __global__ void __launch_bounds__(256) column_sums(const real* x, float* part, int rows, int c, int slab) {
  __shared__ float shared[256 * W];
  if (c % W == 0) column_sums_of<W>(x, part, rows, c, slab, shared); else column_sums_of<1>(x, part, rows, c, slab, shared);
}
// y = Σ over slabs of part [slabs, c], in their order.
extern "C" __global__ void sum_parts(const float* part, int slabs, int c, float* y) {
  int ch = blockIdx.x * blockDim.x + threadIdx.x;
  if (ch >= c) return;
  float a = 0.0f;
  for (int s = 0; s < slabs; s++) a += part[(long long)s * c + ch];
  y[ch] = a;
}
// How many of n words of 4 bytes differ in a and b: part [blocks], a count each.
extern "C" __global__ void __launch_bounds__(256) differences(const u32* a, const u32* b, long long n, float* part) {
  __shared__ float shared[32];
  float count = 0.0f;
  for (long long i = grid_index(); i < n; i += grid_step()) if (a[i] != b[i]) count += 1.0f;
  count = sum_block(count, shared);
  if (threadIdx.x == 0) part[blockIdx.x] = count;
}
// y[0] = factor · Σ x, by one block.
extern "C" __global__ void sum_all(const float* x, int n, float factor, float* y) {
  __shared__ float shared[32];
  float a = 0.0f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) a += x[i];
  a = sum_block(a, shared);
  if (threadIdx.x == 0) y[0] = factor * a;
}
