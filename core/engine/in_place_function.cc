#include "core/engine/in_place_function.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/engine/dnnl_status.h"
#include "core/engine/gru_layout.h"

namespace gruserve {

namespace {

dnnl::memory::desc Numbers(int64_t count) {
  return {{count}, dnnl::memory::data_type::f32, dnnl::memory::dims{1}};
}

}  // namespace

InPlaceFunction::InPlaceFunction(dnnl::algorithm algorithm, int64_t count)
    : InPlaceFunction(
          dnnl::eltwise_forward(MakeEltwiseDesc(CpuEngine(), algorithm, Numbers(count), 0, 0, {})),
          Numbers(count)) {}

InPlaceFunction::InPlaceFunction(dnnl::primitive primitive, const dnnl::memory::desc& numbers)
    : primitive_(std::move(primitive)),
      stream_(CpuEngine()),
      memory_(numbers, CpuEngine(), DNNL_MEMORY_NONE),
      args_({dnnl_exec_arg_t{DNNL_ARG_SRC, memory_.get()}, dnnl_exec_arg_t{DNNL_ARG_DST, memory_.get()}}) {}

InPlaceFunction InPlaceFunction::Again() const { return {primitive_, memory_.get_desc()}; }

absl::Status InPlaceFunction::Apply(float* numbers) {
  GRUSERVE_RETURN_IF_ERROR(FromDnnlStatus("cannot hand data to an element-wise primitive",
                                          dnnl_memory_set_data_handle(memory_.get(), numbers)));
  return FromDnnlStatus(
      "cannot run an element-wise primitive",
      dnnl_primitive_execute(primitive_.get(), stream_.get(), static_cast<int>(args_.size()), args_.data()));
}

}  // namespace gruserve
