// Losses with their gradients.

// The weight of the rows that count: Σ weight[target] (1 where there is no table) over targets other than `ignore`; one block.
extern "C" __global__ void target_weight(const int* targets, const float* weight, int rows, int ignore, float* total) {
  __shared__ float shared[32];
  float a = 0.0f;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) if (targets[row] != ignore) a += weight ? weight[targets[row]] : 1.0f;
  a = sum_block(a, shared);
  if (threadIdx.x == 0) total[0] = a;
}
// Softmax cross-entropy of logits [rows, classes], one warp a row, whose blocks are whole warps: each row's share of the mean
// loss, and dx = scale · its gradient. `total` from `target_weight`; nothing counts where it is 0.
extern "C" __global__ void cross_entropy(const real* logits, const int* targets, const float* weight, const float* total, int rows, int classes, int ignore, float smoothing, float scale, float* loss, real* dx) {
  int row = (int)(grid_index() / 32), lane = threadIdx.x % 32;
  if (row >= rows) return;
  const real* x = logits + (long long)row * classes;
  int target = targets[row];
  bool counts = target != ignore && total[0] > 0.0f;
  float largest = from_bits(0xff800000u),  // −∞
       sum = 0.0f, plain = 0.0f, weights = 0.0f;
  for (int k = lane; k < classes; k += 32) largest = fmaxf(largest, get(x[k]));
  largest = max_warp(largest);
  for (int k = lane; k < classes; k += 32) sum += expf(get(x[k]) - largest);
  sum = sum_warp(sum);
  float log_sum = logf(sum);
  if (smoothing > 0.0f) {
    for (int k = lane; k < classes; k += 32) { float wk = weight ? weight[k] : 1.0f; plain += wk * (log_sum - (get(x[k]) - largest)); weights += wk; }
    plain = sum_warp(plain);
    weights = sum_warp(weights);
  }
  float share = smoothing / (float)classes, wt = counts ? (weight ? weight[target] : 1.0f) : 0.0f, factor = counts ? 1.0f / total[0] : 0.0f;
  if (lane == 0) loss[row] = counts ? factor * ((1.0f - smoothing) * wt * (log_sum - (get(x[target]) - largest)) + share * plain) : 0.0f;
  float mass = (1.0f - smoothing) * wt + share * weights;
  for (int k = lane; k < classes; k += 32) {
    float p = expf(get(x[k]) - largest) / sum, wk = weight ? weight[k] : 1.0f;
    float d = mass * p - share * wk - (k == target ? (1.0f - smoothing) * wt : 0.0f);
    dx[(long long)row * classes + k] = put(counts ? scale * factor * d : 0.0f);
  }
}

// ln(1 + e^−|x|) without overflow.
__device__ __forceinline__ float log1p_exp(float x) { return log1pf(expf(-fabsf(x))); }
// Focal loss of logits [n] against targets 0 to 1, each element's loss and dx = scale · its gradient. `alpha` < 0: no weight.
// With γ = 0 and alpha < 0 it is the binary cross-entropy.
extern "C" __global__ void focal(const real* logits, const float* targets, long long n, float alpha, float gamma, float scale, float* loss, real* dx) {
  for (long long i = grid_index(); i < n; i += grid_step()) {
    float x = get(logits[i]), t = targets[i], rest = log1p_exp(x);
    float ce = fmaxf(x, 0.0f) - x * t + rest;
    float p = x >= 0.0f ? 1.0f / (1.0f + expf(-x)) : expf(x) / (1.0f + expf(x));
    float miss = p * (1.0f - t) + (1.0f - p) * t, w = alpha < 0.0f ? 1.0f : alpha * t + (1.0f - alpha) * (1.0f - t);
    float power = gamma == 0.0f ? 1.0f : gamma == 2.0f ? miss * miss : powf(miss, gamma);
    float slope = gamma == 0.0f ? 0.0f : gamma == 2.0f ? 2.0f * miss : gamma * powf(miss, gamma - 1.0f);
    loss[i] = w * power * ce;
    dx[i] = put(scale * w * (power * (p - t) + slope * ce * (1.0f - 2.0f * t) * p * (1.0f - p)));
  }
}

// GIoU loss (arXiv 1902.09630) of boxes [n, 4] as (left, top, right, bottom) distances from a common point, all of at least 0;
// each box's 1 − GIoU times its weight, and dx = its gradient.
extern "C" __global__ void giou(const float* predicted, const float* target, const float* weight, int n, float* loss, float* dx) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float* p = predicted + 4 * i;
  const float* t = target + 4 * i;
  const float eps = 1e-7f;
  float pw = p[0] + p[2], ph = p[1] + p[3], tw = t[0] + t[2], th = t[1] + t[3];
  float iw = fminf(p[0], t[0]) + fminf(p[2], t[2]), ih = fminf(p[1], t[1]) + fminf(p[3], t[3]);
  float cw = fmaxf(p[0], t[0]) + fmaxf(p[2], t[2]), ch = fmaxf(p[1], t[1]) + fmaxf(p[3], t[3]);
  float inter = iw * ih, uni = pw * ph + tw * th - inter, hull = cw * ch;
  float iou = inter / (uni + eps);
  loss[i] = weight[i] * (1.0f - (iou - (hull - uni) / (hull + eps)));
  // GIoU = I/U − 1 + U/C.
  float di = 1.0f / (uni + eps), du = -iou / (uni + eps) + 1.0f / (hull + eps), dc = -(uni + eps) / ((hull + eps) * (hull + eps));
  for (int k = 0; k < 4; k++) {
    bool across = k % 2 == 0;
    float d_inter = p[k] < t[k] ? (across ? ih : iw) : 0.0f, d_hull = p[k] >= t[k] ? (across ? ch : cw) : 0.0f;
    float d_uni = (across ? ph : pw) - d_inter;
    dx[4 * i + k] = -weight[i] * (di * d_inter + du * d_uni + dc * d_hull);
  }
}
