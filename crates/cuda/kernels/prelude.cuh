// What all kernels share: the type of maps, 16-byte loads and stores, sums in a fixed order.
// Compiled twice: maps of f32, and with -DBF16 maps of bf16. Arithmetic is f32 in both.
#if !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#include "emulator.h"
#endif

typedef unsigned char u8;
typedef unsigned int u32;

__device__ __forceinline__ float from_bits(u32 bits) {
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
  return __uint_as_float(bits);
#else
  float value; memcpy(&value, &bits, 4); return value;
#endif
}

#ifdef BF16
struct real { unsigned short bits; };
enum { W = 8 };  // values of 16 bytes
__device__ __forceinline__ float get(real v) { return from_bits((u32)v.bits << 16); }
// To the nearest, ties to even.
__device__ __forceinline__ u32 round_bf16(float v) {
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(v));
  return bits;
#else
  u32 bits; memcpy(&bits, &v, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
#endif
}
__device__ __forceinline__ real put(float v) { real r; r.bits = (unsigned short)round_bf16(v); return r; }
#else
typedef float real;
enum { W = 4 };
__device__ __forceinline__ float get(real v) { return v; }
__device__ __forceinline__ real put(float v) { return v; }
#endif

// V neighbouring values: one, or W in one access of 16 bytes.
template <int V> __device__ __forceinline__ void load(const real* p, float* v) {
  if constexpr (V == 1) {
    v[0] = get(*p);
  } else {
#ifdef BF16
    uint4 q = *(const uint4*)p;
    u32 words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 4; i++) { v[2 * i] = from_bits(words[i] << 16); v[2 * i + 1] = from_bits(words[i] & 0xffff0000u); }
#else
    float4 q = *(const float4*)p;
    v[0] = q.x; v[1] = q.y; v[2] = q.z; v[3] = q.w;
#endif
  }
}
template <int V> __device__ __forceinline__ void save(real* p, const float* v) {
  if constexpr (V == 1) {
    *p = put(v[0]);
  } else {
#ifdef BF16
    u32 words[4];
#pragma unroll
    for (int i = 0; i < 4; i++) words[i] = round_bf16(v[2 * i]) | round_bf16(v[2 * i + 1]) << 16;
    *(uint4*)p = make_uint4(words[0], words[1], words[2], words[3]);
#else
    *(float4*)p = make_float4(v[0], v[1], v[2], v[3]);
#endif
  }
}
// V neighbouring values of a vector of f32, one a channel.
template <int V> __device__ __forceinline__ void channel(const float* p, float* v) {
#pragma unroll
  for (int i = 0; i < V; i++) v[i] = p[i];
}

// The part of a map [rows, c] that a thread works on: V channels from `c0`, rows `row`, `row + step`, … below `end`: `full`
// of them, the same number for all threads of a block that have channels, and maybe one more.
// A block is tx × ty threads: tx vectors of channels, ty rows at a time; blockIdx.y counts slabs of rows.
struct Part { int c0, row, step, end, full; };
template <int V> __device__ __forceinline__ Part part_of(int rows, int c, int slab) {
  Part p;
  p.c0 = (blockIdx.x * blockDim.x + threadIdx.x) * V;
  p.row = blockIdx.y * slab + threadIdx.y;
  p.step = blockDim.y;
  int end = (blockIdx.y + 1) * slab;
  p.end = end < rows ? end : rows;
  p.full = (p.end - (int)blockIdx.y * slab) / p.step;
  if (p.c0 >= c) { p.end = p.row; p.full = 0; }
  return p;
}
// Calls `body` for each row of a part. Threads of a warp leave the unrolled loop together: where some left it earlier, bf16
// kernels on an H200 gave sums that differed from run to run.
template <int UNROLL, class Body> __device__ __forceinline__ void each_row(const Part& p, Body body) {
  int row = p.row;
#pragma unroll UNROLL
  for (int i = 0; i < p.full; i++) { body(row); row += p.step; }
  __syncwarp();
  if (row < p.end) body(row);
  __syncwarp();
}

// Sums `v` over the rows of a block of tx × ty threads, ty a power of two, as a tree; the sum is in row 0's `v`.
// `shared`: 256·V floats, free to be used again after the next barrier.
template <int V> __device__ __forceinline__ void sum_rows(float* v, float* shared) {
  int tx = blockDim.x, at = threadIdx.y * tx + threadIdx.x, threads = tx * blockDim.y;
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if ((int)threadIdx.y >= half && (int)threadIdx.y < 2 * half) {
#pragma unroll
      for (int i = 0; i < V; i++) shared[i * threads + at] = v[i];
    }
    __syncthreads();
    if ((int)threadIdx.y < half) {
#pragma unroll
      for (int i = 0; i < V; i++) v[i] += shared[i * threads + at + half * tx];
    }
    __syncthreads();
  }
}

__device__ __forceinline__ float sum_warp(float v) {
  for (int lanes = 16; lanes > 0; lanes /= 2) v += __shfl_xor_sync(0xffffffffu, v, lanes);
  return v;
}
__device__ __forceinline__ float max_warp(float v) {
  for (int lanes = 16; lanes > 0; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lanes));
  return v;
}
// The sum over a block of whole warps, at most 32, in every thread. `shared`: 32 floats.
__device__ __forceinline__ float sum_block(float v, float* shared) {
  int warps = (blockDim.x + 31) / 32;
  v = sum_warp(v);
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = v;
  __syncthreads();
  return sum_warp((int)(threadIdx.x % 32) < warps ? shared[threadIdx.x % 32] : 0.0f);
}
// Index and step of a loop over a whole grid of one dimension.
__device__ __forceinline__ long long grid_index() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long grid_step() { return gridDim.x * (long long)blockDim.x; }
