#include "core/model/model.h"

#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/bf16.h"
#include "core/base/checked_math.h"
#include "core/base/status_macros.h"
#include "core/engine/gru_primitive.h"
#include "core/engine/omp_threads.h"

namespace gruserve {
namespace {

// Of stacked layers that two workers share one after the other, rather than in a wave.
constexpr int64_t kMinStackedHiddenSize = 640;

GruLayerShape LayerShape(const GruConfig& config, int64_t layer) {
  return {.cell_kind = config.cell_kind,
          .input_size = config.layer_input_size(layer),
          .hidden_size = config.hidden_size,
          .dtype = config.compute_dtype};
}

absl::Status CheckPositive(const char* name, int64_t value) {
  if (value >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", expected 1 or more"));
}

absl::Status CheckConfig(const GruNetwork& network) {
  const GruConfig& config = network.config;
  GRUSERVE_RETURN_IF_ERROR(CheckPositive("input_size", config.input_size));
  GRUSERVE_RETURN_IF_ERROR(CheckPositive("hidden_size", config.hidden_size));
  GRUSERVE_RETURN_IF_ERROR(CheckPositive("num_layers", config.num_layers));
  if (config.num_directions != 1 && config.num_directions != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_directions is ", config.num_directions, ", expected 1 or 2"));
  }
  if (CheckedMultiply(config.num_layers, config.num_directions) !=
      static_cast<int64_t>(network.layers.size())) {
    return absl::InvalidArgumentError(absl::StrCat("weights of ", network.layers.size(),
                                                   " layers and directions came, expected ",
                                                   config.num_layers, " * ", config.num_directions));
  }
  return absl::OkStatus();
}

// Checks one array of oneDNN's: its length, and that each value is finite, also as
// `dtype`, whose largest number is a little smaller.
absl::Status CheckTensor(const std::string& name, const AlignedBuffer& tensor, std::span<const int64_t> dims,
                         ComputeDtype dtype = ComputeDtype::kF32) {
  const std::optional<int64_t> size = CheckedProduct(dims);
  if (tensor.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has ", tensor.size(), " values, expected ",
                                                   size.has_value() ? absl::StrCat(*size) : "too many"));
  }
  for (const float value : tensor.span()) {
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " holds ", value, ", expected finite values"));
    }
    if (dtype == ComputeDtype::kBf16 && !std::isfinite(FromBf16(RoundToBf16(value)))) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " holds ", value, ", which is too large for compute_dtype bf16"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWeights(const GruNetwork& network) {
  const GruConfig& config = network.config;
  const int64_t hidden = config.hidden_size;
  const int64_t bias_rows = config.cell_kind == CellKind::kLinearBeforeReset ? 4 : 3;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i) / config.num_directions;
    const std::string where = absl::StrCat(
        "layer ", layer, static_cast<int64_t>(i) % config.num_directions == 1 ? " reverse: " : ": ");
    const GruLayerWeights& weights = network.layers[i];
    GRUSERVE_RETURN_IF_ERROR(CheckTensor(where + "weight_ih", weights.weights_layer,
                                         {{config.layer_input_size(layer), 3, hidden}},
                                         config.compute_dtype));
    GRUSERVE_RETURN_IF_ERROR(
        CheckTensor(where + "weight_hh", weights.weights_iter, {{hidden, 3, hidden}}, config.compute_dtype));
    GRUSERVE_RETURN_IF_ERROR(CheckTensor(where + "bias", weights.bias, {{bias_rows, hidden}}));
  }
  return absl::OkStatus();
}

// Layers that are small do more by the tracks of a wave, and need no copy of their weights.
bool MayShareColumns(const GruConfig& config) {
  if (config.num_directions > 1) return false;
  return config.num_layers == 1 || config.hidden_size >= kMinStackedHiddenSize;
}

// Common to all layers, so that a slice runs through them without reshaping.
absl::StatusOr<BucketSet> ChooseBuckets(const GruConfig& config) {
  GRUSERVE_ASSIGN_OR_RETURN(const std::shared_ptr<const BucketSet> first,
                            BucketSet::Choose(LayerShape(config, 0)));
  if (config.num_layers == 1) return *first;
  GRUSERVE_ASSIGN_OR_RETURN(const std::shared_ptr<const BucketSet> others,
                            BucketSet::Choose(LayerShape(config, 1)));
  return first->Intersect(*others);
}

// One layer after the other, so that one of them at most is there twice.
absl::Status LayOutLayers(GruNetwork& network) {
  const SingleOmpThread single_thread;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i) / network.config.num_directions;
    GRUSERVE_ASSIGN_OR_RETURN(network.layers[i],
                              LayOutWeights(LayerShape(network.config, layer), std::move(network.layers[i])));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Model>> Model::Create(GruNetwork network) {
  GRUSERVE_RETURN_IF_ERROR(CheckConfig(network));
  GRUSERVE_RETURN_IF_ERROR(CheckProcessorHas(network.config.compute_dtype));
  GRUSERVE_RETURN_IF_ERROR(CheckWeights(network));
  GRUSERVE_ASSIGN_OR_RETURN(BucketSet buckets, ChooseBuckets(network.config));
  GRUSERVE_ASSIGN_OR_RETURN(Columns columns, MakeColumns(network));
  GRUSERVE_RETURN_IF_ERROR(LayOutLayers(network));
  return std::shared_ptr<const Model>(new Model(std::move(network), std::move(buckets), std::move(columns)));
}

// From plain weights.
absl::StatusOr<Model::Columns> Model::MakeColumns(const GruNetwork& network) {
  const GruConfig& config = network.config;
  if (!MayShareColumns(config)) return Columns();
  Columns columns;
  const SingleOmpThread single_thread;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const GruLayerShape shape = LayerShape(config, layer);
    GRUSERVE_ASSIGN_OR_RETURN(const std::shared_ptr<const BucketSet> buckets, BucketSet::Choose(shape));
    if (buckets->column_order() == nullptr) return Columns();
    GRUSERVE_ASSIGN_OR_RETURN(
        columns.emplace_back(),
        GruColumns::Create(shape, network.layers[static_cast<size_t>(layer)], *buckets->column_order()));
  }
  return columns;
}

Model::Model(GruNetwork network, BucketSet buckets, Columns columns)
    : network_(std::move(network)),
      buckets_(std::move(buckets)),
      columns_(std::move(columns)),
      kernel_fingerprint_(absl::StrCat(DnnlFingerprint(), " ", Name(network_.config.compute_dtype),
                                       " buckets ", buckets_.Fingerprint())) {}

const GruLayerWeights& Model::weights(int64_t layer, int64_t direction) const {
  return network_.layers[static_cast<size_t>(layer * network_.config.num_directions + direction)];
}

GruLayerShape Model::layer_shape(int64_t layer) const { return LayerShape(network_.config, layer); }

}  // namespace gruserve
