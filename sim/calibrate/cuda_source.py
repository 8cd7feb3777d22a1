"""CUDA sources of the kernels that no library has: streams, norms, softmax, decode attention.

bf16 is handled by its bits (it is the upper half of an fp32), so no header of CUDA is needed. The
tests compile these sources for the CPU, threads and all, and compare results with NumPy.
"""

from __future__ import annotations

#: Conversions of bf16, for kernels and as the preamble of an ``ElementwiseKernel``.
BF16 = r"""
__device__ inline float from_bf16(unsigned int bits) { return __uint_as_float(bits << 16); }
__device__ inline unsigned short to_bf16(float x) {  // to the nearest, ties to even
    unsigned int bits = __float_as_uint(x);
    return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__device__ inline void unpack(uint4 v, float* out) {  // eight bf16
    unsigned int words[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; ++i) {
        out[2 * i] = from_bf16(words[i] & 0xffffu);
        out[2 * i + 1] = from_bf16(words[i] >> 16);
    }
}
__device__ inline unsigned int pack(float low, float high) {
    return to_bf16(low) | ((unsigned int)to_bf16(high) << 16);
}
"""

#: Streams over memory, and random bits: ``(hash & mask) | base`` are numbers in ±[½, 1).
STREAMS = r"""
typedef unsigned long long u64;
__device__ inline unsigned int mixed(u64 i, unsigned int seed) {
    u64 z = i * 0x9e3779b97f4a7c15ull + seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (unsigned int)(z >> 32);
}
#define EACH_OF(i, n) \
    for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < n; \
         i += (u64)gridDim.x * blockDim.x)
extern "C" __global__ void fill(unsigned int* out, u64 n, unsigned int seed, unsigned int mask,
                                unsigned int base) {
    EACH_OF(i, n) out[i] = (mixed(i, seed) & mask) | base;
}
extern "C" __global__ void copy(const uint4* x, uint4* out, u64 n) { EACH_OF(i, n) out[i] = x[i]; }
extern "C" __global__ void triad(const float4* x, const float4* y, float4* out, u64 n) {
    EACH_OF(i, n) {
        float4 a = x[i], b = y[i];
        a.x += 0.5f * b.x; a.y += 0.5f * b.y; a.z += 0.5f * b.z; a.w += 0.5f * b.w;
        out[i] = a;
    }
}
extern "C" __global__ void flush(uint4* x, u64 n) {
    EACH_OF(i, n) { uint4 v = x[i]; v.x += 1u; x[i] = v; }
}
"""

#: Keeps the device busy until the host has enqueued what is to be timed.
SPIN = r"""
extern "C" __global__ void spin(unsigned long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do { asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); } while (now - start < nanoseconds);
}
"""

#: A block per row; ``hidden`` a multiple of 8, 256 threads.
RMS_NORM = (
    BF16
    + r"""
extern "C" __global__ void rms_norm(const uint4* x, const uint4* weight, uint4* out, int hidden) {
    __shared__ float sums[256];
    const int vectors = hidden / 8;
    const uint4* row = x + (long long)blockIdx.x * vectors;
    float sum = 0.f, a[8], w[8];
    for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
        unpack(row[i], a);
        for (int j = 0; j < 8; ++j) sum += a[j] * a[j];
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    const float factor = rsqrtf(sums[0] / hidden + 1e-6f);
    for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
        unpack(row[i], a);
        unpack(weight[i], w);
        for (int j = 0; j < 8; ++j) a[j] *= factor * w[j];
        uint4 v;
        v.x = pack(a[0], a[1]); v.y = pack(a[2], a[3]);
        v.z = pack(a[4], a[5]); v.w = pack(a[6], a[7]);
        out[(long long)blockIdx.x * vectors + i] = v;
    }
}
"""
)

#: Causal softmax in place: a block per (row, KV head), 256 threads. Row r of a head belongs to the
#: query of token ``first + r / group``, which sees that many keys and one more.
SOFTMAX = (
    BF16
    + r"""
extern "C" __global__ void softmax(unsigned short* scores, int keys, int first, int group,
                                   float scale) {
    __shared__ float parts[256];
    unsigned short* row = scores + ((long long)blockIdx.y * gridDim.x + blockIdx.x) * keys;
    const int seen = min(first + (int)blockIdx.x / group + 1, keys);
    float most = -1e30f, sum = 0.f;
    for (int i = threadIdx.x; i < seen; i += blockDim.x)
        most = fmaxf(most, scale * from_bf16(row[i]));
    parts[threadIdx.x] = most;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            parts[threadIdx.x] = fmaxf(parts[threadIdx.x], parts[threadIdx.x + half]);
        __syncthreads();
    }
    most = parts[0];
    __syncthreads();
    for (int i = threadIdx.x; i < seen; i += blockDim.x)
        sum += expf(scale * from_bf16(row[i]) - most);
    parts[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    const float total = 1.f / parts[0];
    for (int i = threadIdx.x; i < keys; i += blockDim.x)
        row[i] = i < seen ? to_bf16(expf(scale * from_bf16(row[i]) - most) * total) : 0;
}
"""
)

#: Decode attention over a paged cache, split over the context, then joined. Compiled with
#: -DHEAD_DIM, -DGROUP (query heads per KV head), -DKV_HEADS.
#: Pools [blocks][KV_HEADS][16][HEAD_DIM] bf16; table [sequences][blocks_each]; queries and result
#: [sequences][KV_HEADS * GROUP][HEAD_DIM] bf16; partial [sequences][heads][splits][HEAD_DIM + 2].
#: Eight lanes share a token, so a warp reads four tokens at a time; a warp keeps HEADS query heads,
#: PARTS warps make the whole group, and STREAMS of those go through the context side by side.
DECODE = (
    BF16
    + r"""
#define LANES 8
#define EACH (HEAD_DIM / LANES)
#define MOST_HEADS (HEAD_DIM > 128 ? 2 : 4)
#define HEADS (GROUP < MOST_HEADS ? GROUP : MOST_HEADS)
#define PARTS ((GROUP + HEADS - 1) / HEADS)
#define STREAMS_OF (8 / PARTS > 1 ? 8 / PARTS : 1)
#define WARPS (PARTS * STREAMS_OF)

__device__ inline void load(const uint4* pool, long long element, float* out) {
#pragma unroll
    for (int i = 0; i < EACH / 8; ++i) unpack(pool[element / 8 + i], out + 8 * i);
}

extern "C" __global__ void decode(const uint4* keys, const uint4* values, const int* table,
                                  const uint4* queries, float* partial, int context,
                                  int blocks_each, int per_split, float scale) {
    __shared__ float shared[WARPS * HEADS * (HEAD_DIM + 2)];
    const int split = blockIdx.x, kv_head = blockIdx.y, sequence = blockIdx.z;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int part = warp % PARTS, stream = warp / PARTS;
    const int slot = lane / LANES, column = lane % LANES;
    const int first = split * per_split, last = min(first + per_split, context);
    float q[HEADS][EACH], acc[HEADS][EACH], most[HEADS], sum[HEADS];
#pragma unroll
    for (int h = 0; h < HEADS; ++h) {
        const int head = min(part * HEADS + h, GROUP - 1);
        const long long row = ((long long)sequence * KV_HEADS + kv_head) * GROUP + head;
        load(queries, row * HEAD_DIM + column * EACH, q[h]);
#pragma unroll
        for (int i = 0; i < EACH; ++i) { q[h][i] *= scale; acc[h][i] = 0.f; }
        most[h] = -1e30f;
        sum[h] = 0.f;
    }
    for (int base = first + stream * 4; base < last; base += STREAMS_OF * 4) {
        const int token = base + slot;
        const bool valid = token < last;
        float k[EACH], v[EACH];
        if (valid) {
            const long long block = table[(long long)sequence * blocks_each + token / 16];
            const long long row = (block * KV_HEADS + kv_head) * 16 + token % 16;
            load(keys, row * HEAD_DIM + column * EACH, k);
            load(values, row * HEAD_DIM + column * EACH, v);
        } else {
#pragma unroll
            for (int i = 0; i < EACH; ++i) { k[i] = 0.f; v[i] = 0.f; }
        }
#pragma unroll
        for (int h = 0; h < HEADS; ++h) {
            float score = 0.f;
#pragma unroll
            for (int i = 0; i < EACH; ++i) score += q[h][i] * k[i];
#pragma unroll
            for (int x = 1; x < LANES; x *= 2) score += __shfl_xor_sync(0xffffffffu, score, x);
            const float now = valid ? fmaxf(most[h], score) : most[h];
            const float keep = expf(most[h] - now), weight = valid ? expf(score - now) : 0.f;
            most[h] = now;
            sum[h] = sum[h] * keep + weight;
#pragma unroll
            for (int i = 0; i < EACH; ++i) acc[h][i] = acc[h][i] * keep + weight * v[i];
        }
    }
#pragma unroll
    for (int h = 0; h < HEADS; ++h) {  // join the four slots of the warp, then leave it in `shared`
#pragma unroll
        for (int x = LANES; x < 32; x *= 2) {
            const float other = __shfl_xor_sync(0xffffffffu, most[h], x);
            const float other_sum = __shfl_xor_sync(0xffffffffu, sum[h], x);
            const float now = fmaxf(most[h], other);
            const float mine = expf(most[h] - now), theirs = expf(other - now);
#pragma unroll
            for (int i = 0; i < EACH; ++i)
                acc[h][i] = acc[h][i] * mine + __shfl_xor_sync(0xffffffffu, acc[h][i], x) * theirs;
            sum[h] = sum[h] * mine + other_sum * theirs;
            most[h] = now;
        }
        float* place = shared + (warp * HEADS + h) * (HEAD_DIM + 2);
        if (slot == 0) {
#pragma unroll
            for (int i = 0; i < EACH; ++i) place[column * EACH + i] = acc[h][i];
            if (column == 0) { place[HEAD_DIM] = most[h]; place[HEAD_DIM + 1] = sum[h]; }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < GROUP * HEAD_DIM; i += blockDim.x) {
        const int head = i / HEAD_DIM, d = i % HEAD_DIM;
        float now = -1e30f, total = 0.f, value = 0.f;
        for (int s = 0; s < STREAMS_OF; ++s) {
            const int w = s * PARTS + head / HEADS;
            const float* place = shared + (w * HEADS + head % HEADS) * (HEAD_DIM + 2);
            const float next = fmaxf(now, place[HEAD_DIM]);
            const float old = expf(now - next), more = expf(place[HEAD_DIM] - next);
            value = value * old + place[d] * more;
            total = total * old + place[HEAD_DIM + 1] * more;
            now = next;
        }
        const long long row = ((long long)sequence * KV_HEADS + kv_head) * GROUP + head;
        float* out = partial + (row * gridDim.x + split) * (HEAD_DIM + 2);
        out[d] = value;
        if (d == 0) { out[HEAD_DIM] = now; out[HEAD_DIM + 1] = total; }
    }
}

extern "C" __global__ void join(const float* partial, unsigned short* out, int splits) {
    const long long row = blockIdx.x;  // (sequence, head); a thread per element
    const float* parts = partial + row * splits * (HEAD_DIM + 2);
    float now = -1e30f, total = 0.f, value = 0.f;
    for (int s = 0; s < splits; ++s, parts += HEAD_DIM + 2) {
        const float next = fmaxf(now, parts[HEAD_DIM]);
        const float old = expf(now - next), more = expf(parts[HEAD_DIM] - next);
        value = value * old + parts[threadIdx.x] * more;
        total = total * old + parts[HEAD_DIM + 1] * more;
        now = next;
    }
    out[row * HEAD_DIM + threadIdx.x] = to_bf16(value / total);
}
"""
)


def decode_warps(group: int, head_dim: int) -> int:
    """Warps in a block of ``decode``: its macro WARPS."""
    most = 2 if head_dim > 128 else 4
    heads = min(group, most)
    parts = -(-group // heads)
    return parts * max(8 // parts, 1)
