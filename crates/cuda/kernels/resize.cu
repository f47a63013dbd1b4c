// Resizing of maps [n, h, w, c], separable: each row and column of the result reads two of the input, `low` and `high`, the
// latter with weight `share`. The host makes these taps, so all interpolations are one kernel.

struct Tap { int low, high; float share; };

template <int V> __device__ __forceinline__ void resize_of(const real* __restrict__ x, real* __restrict__ y, const Tap* rows, const Tap* columns, int n, int h, int w, int c, int out_h, int out_w) {
  int vectors = c / V;
  for (long long i = grid_index(); i < (long long)n * out_h * out_w * vectors; i += grid_step()) {
    int ch = (int)(i % vectors) * V;
    long long pixel = i / vectors;
    int ox = (int)(pixel % out_w), oy = (int)(pixel / out_w % out_h), image = (int)(pixel / ((long long)out_w * out_h));
    Tap row = rows[oy], column = columns[ox];
    float a[V], b[V], d[V], e[V];
    const real* top = x + ((long long)image * h + row.low) * w * c + ch;
    const real* bottom = x + ((long long)image * h + row.high) * w * c + ch;
    load<V>(top + (long long)column.low * c, a);
    load<V>(top + (long long)column.high * c, b);
    load<V>(bottom + (long long)column.low * c, d);
    load<V>(bottom + (long long)column.high * c, e);
#pragma unroll
    for (int j = 0; j < V; j++) {
      float upper = a[j] * (1.0f - column.share) + b[j] * column.share, lower = d[j] * (1.0f - column.share) + e[j] * column.share;
      a[j] = upper * (1.0f - row.share) + lower * row.share;
    }
    save<V>(y + pixel * c + ch, a);
  }
}
extern "C" __global__ void resize(const real* x, real* y, const Tap* rows, const Tap* columns, int n, int h, int w, int c, int out_h, int out_w) {
  if (c % W == 0) resize_of<W>(x, y, rows, columns, n, h, w, c, out_h, out_w); else resize_of<1>(x, y, rows, columns, n, h, w, c, out_h, out_w);
}

__device__ __forceinline__ float weight_of(Tap tap, int from) { return from == tap.low ? 1.0f - tap.share : tap.share; }
template <int V> __device__ __forceinline__ void resize_gradient_of(const real* __restrict__ dy, real* __restrict__ dx, const Tap* rows, const Tap* columns, const int* row_readers, const int* column_readers,
    int n, int h, int w, int c, int out_h, int out_w) {
  int vectors = c / V;
  for (long long i = grid_index(); i < (long long)n * h * w * vectors; i += grid_step()) {
    int ch = (int)(i % vectors) * V;
    long long pixel = i / vectors;
    int ix = (int)(pixel % w), iy = (int)(pixel / w % h), image = (int)(pixel / ((long long)w * h));
    float a[V] = {};
    for (int oy = row_readers[2 * iy]; oy < row_readers[2 * iy + 1]; oy++) {
      float row = weight_of(rows[oy], iy);
      for (int ox = column_readers[2 * ix]; ox < column_readers[2 * ix + 1]; ox++) {
        float weight = row * weight_of(columns[ox], ix), d[V];
        load<V>(dy + (((long long)image * out_h + oy) * out_w + ox) * c + ch, d);
#pragma unroll
        for (int j = 0; j < V; j++) a[j] = fmaf(weight, d[j], a[j]);
      }
    }
    save<V>(dx + pixel * c + ch, a);
  }
}
// The input gradient of `resize`. `readers`: of each row or column of the input, the first that reads it and the one behind
// the last.
extern "C" __global__ void resize_gradient(const real* dy, real* dx, const Tap* rows, const Tap* columns, const int* row_readers, const int* column_readers, int n, int h, int w, int c, int out_h, int out_w) {
  if (c % W == 0) resize_gradient_of<W>(dy, dx, rows, columns, row_readers, column_readers, n, h, w, c, out_h, out_w);
  else resize_gradient_of<1>(dy, dx, rows, columns, row_readers, column_readers, n, h, w, c, out_h, out_w);
}
