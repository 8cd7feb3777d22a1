// Enough of CUDA to run a kernel on the CPU: a thread for each thread of a block, block after block.
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
struct uint4 { unsigned int x, y, z, w; };
struct float4 { float x, y, z, w; };
struct Dim { int x = 1, y = 1, z = 1; };
thread_local Dim threadIdx{0, 0, 0};
static Dim blockIdx, blockDim, gridDim;
static std::unique_ptr<std::barrier<>> block_barrier;
struct Warp { std::barrier<> barrier{32}; float values[32]; };
static std::vector<std::unique_ptr<Warp>> warps;

inline float __uint_as_float(unsigned int x) { return std::bit_cast<float>(x); }
inline unsigned int __float_as_uint(float x) { return std::bit_cast<unsigned int>(x); }
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline int min(int a, int b) { return a < b ? a : b; }
inline void __syncthreads() { block_barrier->arrive_and_wait(); }
inline float __shfl_xor_sync(unsigned int, float value, int other) {
    Warp& warp = *warps[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    warp.values[lane] = value;
    warp.barrier.arrive_and_wait();
    const float found = warp.values[lane ^ other];
    warp.barrier.arrive_and_wait();
    return found;
}

static void run(Dim grid, int threads, const std::function<void()>& kernel) {
    gridDim = grid;
    blockDim = Dim{threads, 1, 1};
    for (int z = 0; z < grid.z; ++z) for (int y = 0; y < grid.y; ++y) for (int x = 0; x < grid.x; ++x) {
        blockIdx = Dim{x, y, z};
        block_barrier = std::make_unique<std::barrier<>>(threads);
        warps.clear();
        for (int i = 0; i < (threads + 31) / 32; ++i) warps.push_back(std::make_unique<Warp>());
        std::vector<std::thread> running;
        for (int t = 0; t < threads; ++t)
            running.emplace_back([t, &kernel] { threadIdx = Dim{t, 0, 0}; kernel(); });
        for (auto& thread : running) thread.join();
    }
}
