// A raw oneDNN lbr_gru layer: the floor under every figure of ours. Nothing of
// the server's own engine is in it, so that it cannot share the engine's faults.
//
// Not thread-safe. Makes and runs everything on one OpenMP thread.

#ifndef GRUSERVE_TESTS_BENCH_KERNEL_H_
#define GRUSERVE_TESTS_BENCH_KERNEL_H_

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

namespace gruserve::bench {

struct KernelShape {
  int64_t time_steps = 1;
  int64_t batch_size = 1;
  int64_t input_size = 0;
  int64_t hidden_size = 0;
  int64_t layers = 1;
};

class Kernel {
 public:
  // `packed` lets oneDNN lay out the weights as it likes; otherwise ldigo.
  // Throws dnnl::error where oneDNN has no such primitive.
  Kernel(const KernelShape& shape, bool bf16, bool packed);

  // Runs all layers once.
  void Run();

 private:
  struct Layer {
    dnnl::lbr_gru_forward primitive;
    std::unordered_map<int, dnnl::memory> arguments;
  };

  Layer MakeLayer(const KernelShape& shape, int64_t input_size, bool bf16, bool packed);
  dnnl::memory Filled(const dnnl::memory::desc& wanted, const dnnl::memory::desc& plain);

  dnnl::engine engine_;
  dnnl::stream stream_;
  Layer first_;
  Layer other_;
  int64_t layers_ = 1;
};

}  // namespace gruserve::bench

#endif  // GRUSERVE_TESTS_BENCH_KERNEL_H_
