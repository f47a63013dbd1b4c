// Thread blocks on the CPU: each CUDA thread is a fibre, run in turn between barriers. The kernels' source compiles with this
// header and g++. It knows neither a memory model nor occupancy; a barrier that some threads of a block miss aborts.
#pragma once
#include <ucontext.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

struct dim3 { unsigned x = 1, y = 1, z = 1; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __shared__ static  // one block runs at a time
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulator {
enum Wait { RUNS, BLOCK, WARP };
struct Fibre { ucontext_t context; std::vector<char> stack; bool done; Wait wait; };
inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned current;
inline void (*kernel)(void**);
inline void** arguments;
inline float slots[1024];
inline void yield(Wait wait) {
  Fibre& fibre = fibres[current];
  fibre.wait = wait;
  swapcontext(&fibre.context, &scheduler);
}
inline void enter() {
  kernel(arguments);
  fibres[current].done = true;
  swapcontext(&fibres[current].context, &scheduler);
}
// Whether whole warps wait at a barrier of the warp; they go on.
inline bool release_warps(unsigned threads) {
  bool released = false;
  for (unsigned warp = 0; warp < threads; warp += 32) {
    bool all = true, some = false;
    for (unsigned t = warp; t < warp + 32 && t < threads; t++) {
      if (fibres[t].done) continue;
      some = true;
      all = all && fibres[t].wait == WARP;
    }
    if (!all || !some) continue;
    released = true;
    for (unsigned t = warp; t < warp + 32 && t < threads; t++) if (!fibres[t].done) fibres[t].wait = RUNS;
  }
  return released;
}
inline void run_block(unsigned threads, bool backward) {
  for (unsigned t = 0; t < threads; t++) {
    Fibre& fibre = fibres[t];
    if (fibre.stack.empty()) fibre.stack.resize(65536);
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.data();
    fibre.context.uc_stack.ss_size = fibre.stack.size();
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, enter, 0);
    fibre.done = false;
    fibre.wait = RUNS;
  }
  for (;;) {
    bool any = false;
    for (unsigned i = 0; i < threads; i++) {
      unsigned t = backward ? threads - 1 - i : i;
      Fibre& fibre = fibres[t];
      if (fibre.done || fibre.wait != RUNS) continue;
      any = true;
      current = t;
      threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
      swapcontext(&scheduler, &fibre.context);
    }
    if (any || release_warps(threads)) continue;
    unsigned left = 0, waiting = 0;
    for (unsigned t = 0; t < threads; t++) if (!fibres[t].done) { left++; waiting += fibres[t].wait == BLOCK; }
    if (!left) return;
    if (waiting != left || left != threads) { fprintf(stderr, "barrier: %u of %u threads came, %u are left\n", waiting, threads, left); abort(); }
    for (unsigned t = 0; t < threads; t++) fibres[t].wait = RUNS;
  }
}
// `backward` runs threads in the opposite order: what depends on the order shows as a difference.
inline void launch(void (*run)(void**), void** args, const unsigned* grid, const unsigned* block, bool backward) {
  kernel = run;
  arguments = args;
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  unsigned threads = block[0] * block[1] * block[2];
  if (fibres.size() < threads) fibres.resize(threads);
  for (unsigned z = 0; z < grid[2]; z++) for (unsigned y = 0; y < grid[1]; y++) for (unsigned x = 0; x < grid[0]; x++) {
    blockIdx = {x, y, z};
    run_block(threads, backward);
  }
}
template <class... Args, size_t... I> void unpack(void (*function)(Args...), void** args, std::index_sequence<I...>) {
  function(*static_cast<Args*>(args[I])...);
}
template <class... Args> void call(void (*function)(Args...), void** args) { unpack(function, args, std::index_sequence_for<Args...>()); }
}  // namespace emulator

inline void __syncthreads() { emulator::yield(emulator::BLOCK); }
inline void __syncwarp() { emulator::yield(emulator::WARP); }
inline float __shfl_xor_sync(unsigned, float value, int lanes) {
  unsigned t = emulator::current;
  emulator::slots[t] = value;
  emulator::yield(emulator::WARP);
  float other = emulator::slots[t ^ (unsigned)lanes];
  emulator::yield(emulator::WARP);
  return other;
}
