// Pooling of maps [n, h, w, c].

template <int V> __device__ __forceinline__ void max_of(const real* __restrict__ x, real* __restrict__ y, u8* __restrict__ taps, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding) {
  int vectors = c / V;
  for (long long i = grid_index(); i < (long long)n * out_h * out_w * vectors; i += grid_step()) {
    int ch = (int)(i % vectors) * V;
    long long pixel = i / vectors;
    int ox = (int)(pixel % out_w), oy = (int)(pixel / out_w % out_h), image = (int)(pixel / ((long long)out_w * out_h));
    float best[V];
    int from[V];
#pragma unroll
    for (int j = 0; j < V; j++) { best[j] = 0.0f; from[j] = 255; }
    for (int ky = 0; ky < kernel; ky++) for (int kx = 0; kx < kernel; kx++) {
      int iy = oy * stride - padding + ky, ix = ox * stride - padding + kx;
      if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
      float v[V];
      load<V>(x + (((long long)image * h + iy) * w + ix) * c + ch, v);
#pragma unroll
      for (int j = 0; j < V; j++) {
        // The first largest; not-a-number is largest.
        if (from[j] == 255 || v[j] > best[j] || (v[j] != v[j] && best[j] == best[j])) { best[j] = v[j]; from[j] = ky * kernel + kx; }
      }
    }
    save<V>(y + pixel * c + ch, best);
    if constexpr (V == 1) {
      taps[pixel * c + ch] = (u8)from[0];
    } else {
#pragma unroll
      for (int j = 0; j < V; j += 4) *(u32*)(taps + pixel * c + ch + j) = from[j] | from[j + 1] << 8 | from[j + 2] << 16 | (u32)from[j + 3] << 24;
    }
  }
}
// The largest value of each window, and which tap of the window it is: kernels of at most 15×15.
extern "C" __global__ void max_pool(const real* x, real* y, u8* taps, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding) {
  if (c % W == 0) max_of<W>(x, y, taps, n, h, w, c, out_h, out_w, kernel, stride, padding); else max_of<1>(x, y, taps, n, h, w, c, out_h, out_w, kernel, stride, padding);
}

// The windows that read pixel `i`: from `first` to `last`.
__device__ __forceinline__ void windows_of(int i, int out, int kernel, int stride, int padding, int* first, int* last) {
  int low = i + padding - kernel + 1;
  *first = low > 0 ? (low + stride - 1) / stride : 0;
  int high = (i + padding) / stride;
  *last = high < out ? high : out - 1;
}
template <int V> __device__ __forceinline__ void max_gradient_of(const real* __restrict__ dy, const u8* __restrict__ taps, real* __restrict__ dx, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding) {
  int vectors = c / V;
  for (long long i = grid_index(); i < (long long)n * h * w * vectors; i += grid_step()) {
    int ch = (int)(i % vectors) * V;
    long long pixel = i / vectors;
    int ix = (int)(pixel % w), iy = (int)(pixel / w % h), image = (int)(pixel / ((long long)w * h));
    int y0, y1, x0, x1;
    windows_of(iy, out_h, kernel, stride, padding, &y0, &y1);
    windows_of(ix, out_w, kernel, stride, padding, &x0, &x1);
    float a[V] = {};
    for (int oy = y0; oy <= y1; oy++) for (int ox = x0; ox <= x1; ox++) {
      int tap = (iy + padding - oy * stride) * kernel + ix + padding - ox * stride;
      long long at = (((long long)image * out_h + oy) * out_w + ox) * c + ch;
      float d[V];
      load<V>(dy + at, d);
#pragma unroll
      for (int j = 0; j < V; j++) if (taps[at + j] == tap) a[j] += d[j];
    }
    save<V>(dx + pixel * c + ch, a);
  }
}
// The input gradient of `max_pool`.
extern "C" __global__ void max_pool_gradient(const real* dy, const u8* taps, real* dx, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding) {
  if (c % W == 0) max_gradient_of<W>(dy, taps, dx, n, h, w, c, out_h, out_w, kernel, stride, padding); else max_gradient_of<1>(dy, taps, dx, n, h, w, c, out_h, out_w, kernel, stride, padding);
}

// Pixels that the mean of a window divides by.
__device__ __forceinline__ float pixels_of(int oy, int ox, int h, int w, int kernel, int stride, int padding, int include_pad) {
  int y0 = oy * stride - padding, x0 = ox * stride - padding, y1 = y0 + kernel, x1 = x0 + kernel;
  if (include_pad) {
    y1 = y1 < h + padding ? y1 : h + padding; x1 = x1 < w + padding ? x1 : w + padding;
  } else {
    y0 = y0 > 0 ? y0 : 0; x0 = x0 > 0 ? x0 : 0; y1 = y1 < h ? y1 : h; x1 = x1 < w ? x1 : w;
  }
  return (float)((y1 - y0) * (x1 - x0));
}
// The mean of each window.
extern "C" __global__ void avg_pool(const real* x, real* y, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding, int include_pad) {
  for (long long i = grid_index(); i < (long long)n * out_h * out_w * c; i += grid_step()) {
    int ch = (int)(i % c);
    long long pixel = i / c;
    int ox = (int)(pixel % out_w), oy = (int)(pixel / out_w % out_h), image = (int)(pixel / ((long long)out_w * out_h));
    float a = 0.0f;
    for (int ky = 0; ky < kernel; ky++) for (int kx = 0; kx < kernel; kx++) {
      int iy = oy * stride - padding + ky, ix = ox * stride - padding + kx;
      if (iy >= 0 && iy < h && ix >= 0 && ix < w) a += get(x[(((long long)image * h + iy) * w + ix) * c + ch]);
    }
    y[i] = put(a / pixels_of(oy, ox, h, w, kernel, stride, padding, include_pad));
  }
}
// The input gradient of `avg_pool`.
extern "C" __global__ void avg_pool_gradient(const real* dy, real* dx, int n, int h, int w, int c, int out_h, int out_w, int kernel, int stride, int padding, int include_pad) {
  for (long long i = grid_index(); i < (long long)n * h * w * c; i += grid_step()) {
    int ch = (int)(i % c);
    long long pixel = i / c;
    int ix = (int)(pixel % w), iy = (int)(pixel / w % h), image = (int)(pixel / ((long long)w * h));
    int y0, y1, x0, x1;
    windows_of(iy, out_h, kernel, stride, padding, &y0, &y1);
    windows_of(ix, out_w, kernel, stride, padding, &x0, &x1);
    float a = 0.0f;
    for (int oy = y0; oy <= y1; oy++) for (int ox = x0; ox <= x1; ox++)
      a += get(dy[(((long long)image * out_h + oy) * out_w + ox) * c + ch]) / pixels_of(oy, ox, h, w, kernel, stride, padding, include_pad);
    dx[i] = put(a);
  }
}

// The mean over the pixels: x [n, pixels, c] to y [n, c]; blocks of 32 × 8 threads, grid (c/32, n).
extern "C" __global__ void __launch_bounds__(256) global_pool(const real* x, real* y, int pixels, int c) {
  __shared__ float shared[256];
  int ch = blockIdx.x * 32 + threadIdx.x;
  float a[1] = {0.0f};
  if (ch < c) for (int pixel = threadIdx.y; pixel < pixels; pixel += 8) a[0] += get(x[((long long)blockIdx.y * pixels + pixel) * c + ch]);
  sum_rows<1>(a, shared);
  if (threadIdx.y == 0 && ch < c) y[(long long)blockIdx.y * c + ch] = put(a[0] / (float)pixels);
}
// The input gradient of `global_pool`.
extern "C" __global__ void global_pool_gradient(const real* dy, real* dx, int n, int pixels, int c) {
  for (long long i = grid_index(); i < (long long)n * pixels * c; i += grid_step()) {
    long long image = i / ((long long)pixels * c);
    dx[i] = put(get(dy[image * c + i % c]) / (float)pixels);
  }
}
