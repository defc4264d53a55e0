// Which GRU formulas a model follows; they differ by 0.1 and more.

#ifndef GRUSERVE_CORE_ENGINE_CELL_KIND_H_
#define GRUSERVE_CORE_ENGINE_CELL_KIND_H_

namespace gruserve {

enum class CellKind {
  // n = tanh(W_in x + b_in + r * (W_hn h + b_hn)): PyTorch, cuDNN, oneDNN lbr_gru.
  kLinearBeforeReset,
  // n = tanh(W_in x + b_in + W_hn (r * h)): ONNX's default, oneDNN gru.
  kResetBefore,
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_CELL_KIND_H_
