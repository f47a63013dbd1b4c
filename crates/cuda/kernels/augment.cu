// Bytes to the network's input.

// Images u8 [n, h, w, c] to y [n, out_h, out_w, c_y]: windows whose top left corner is at places[image] = (y, x, flip), with
// 0 outside of the image, mirrored where `flip` is not 0; (byte/255 − mean)/σ. Padding is black before it is normalized.
// Channels from c to c_y are 0: convolutions want whole vectors.
extern "C" __global__ void augment(const u8* images, const int* places, const float* mean, const float* inv_std, real* y, int n, int h, int w, int c, int out_h, int out_w, int c_y) {
  for (long long i = grid_index(); i < (long long)n * out_h * out_w; i += grid_step()) {
    int column = (int)(i % out_w), row = (int)(i / out_w % out_h), image = (int)(i / ((long long)out_w * out_h));
    const int* place = places + 3 * image;
    int from_y = row + place[0], from_x = (place[2] ? out_w - 1 - column : column) + place[1];
    bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
    const u8* pixel = images + (((long long)image * h + from_y) * w + from_x) * c;
    for (int ch = 0; ch < c_y; ch++) {
      float v = 0.0f;
      if (ch < c) v = ((inside ? (float)pixel[ch] : 0.0f) * (1.0f / 255.0f) - mean[ch]) * inv_std[ch];
      y[i * c_y + ch] = put(v);
    }
  }
}
