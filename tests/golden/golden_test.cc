// Our numbers against PyTorch's: float64 witnesses from generate.py, which says
// how the cases and their numbers are made.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/import/safetensors_reader.h"
#include "core/model/replica.h"
#include "tests/support/reference_gru.h"

namespace gruserve {
namespace {

constexpr double kLeastBound = 1.2e-7;
constexpr double kBf16Bound = 0.03;
// Cases of fewer than 16 numbers that may miss their own bound, though not that
// of their shape: one number of PyTorch's may be exact by luck.
constexpr int kMaxUnlucky = 2;

// What the streams of numbers of one case are for; as in generate.py.
enum Stream : uint64_t { kInput = 0, kH0 = 1, kSamples = 2, kWeights = 8 };

struct GoldenCase {
  GruConfig config;
  int64_t batch = 0;  // 0: unbatched.
  int64_t time_steps = 0;
  bool h_0 = false;
  bool batch_first = false;
  std::vector<int64_t> lengths;
  uint64_t seed = 0;
  double torch_f32_error = 0;
  double torch_f32_error_of_shape = 0;  // 0 where the result has many numbers.

  int64_t rows() const { return std::max<int64_t>(batch, 1); }
  int64_t output_count() const { return time_steps * rows() * config.output_size(); }
  int64_t state_count() const { return rows() * config.state_size(); }
};

std::vector<uint64_t> SplitMix64(uint64_t seed, int64_t count) {
  std::vector<uint64_t> numbers(static_cast<size_t>(count));
  for (uint64_t& number : numbers) {
    seed += 0x9E3779B97F4A7C15;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    number = z ^ (z >> 31);
  }
  return numbers;
}

std::vector<float> Floats(const GoldenCase& golden, uint64_t stream, int64_t count, float bound = 1.0F) {
  std::vector<float> floats;
  for (const uint64_t number : SplitMix64(golden.seed * 1000003 + stream, count)) {
    floats.push_back((static_cast<float>(number >> 40) * 0x1p-23F - 1.0F) * bound);
  }
  return floats;
}

std::vector<size_t> SampledPlaces(const GoldenCase& golden, uint64_t which, int64_t count, int64_t size) {
  std::vector<size_t> places;
  for (const uint64_t number : SplitMix64(golden.seed * 1000003 + kSamples + which, std::min(count, size))) {
    places.push_back(number % static_cast<uint64_t>(size));
  }
  return places;
}

RandomGruNetwork Network(const GoldenCase& golden) {
  const GruConfig& config = golden.config;
  const float bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.hidden_size)));
  const int64_t rows = 3 * config.hidden_size;
  RandomGruNetwork gru{.config = config};
  for (int64_t i = 0; i < config.state_blocks(); ++i) {
    const uint64_t stream = kWeights + 4 * static_cast<uint64_t>(i);
    const int64_t inputs = config.layer_input_size(i / config.num_directions);
    StateDictLayer layer{.weight_ih = Floats(golden, stream, rows * inputs, bound),
                         .weight_hh = Floats(golden, stream + 1, rows * config.hidden_size, bound)};
    if (config.bias) {
      layer.bias_ih = Floats(golden, stream + 2, rows, bound);
      layer.bias_hh = Floats(golden, stream + 3, rows, bound);
    }
    gru.layers.push_back(std::move(layer));
  }
  return gru;
}

struct Result {
  std::vector<float> output;  // As PyTorch lays it out for the case.
  std::vector<float> h_n;     // [layers * D, B, H]
};

// h_0 as PyTorch has it, [layers * D, B, H], turned into one state a row.
std::vector<std::vector<float>> RowStates(const GoldenCase& golden, const std::vector<float>& h_0) {
  const int64_t hidden = golden.config.hidden_size;
  std::vector<std::vector<float>> states(static_cast<size_t>(golden.rows()));
  for (int64_t row = 0; row < golden.rows(); ++row) {
    for (int64_t block = 0; block < golden.config.state_blocks(); ++block) {
      const auto begin = h_0.begin() + (block * golden.rows() + row) * hidden;
      states[static_cast<size_t>(row)].insert(states[static_cast<size_t>(row)].end(), begin, begin + hidden);
    }
  }
  return states;
}

Result Infer(const GoldenCase& golden, Replica& replica, const std::vector<float>& input,
             const std::vector<float>& h_0) {
  const GruConfig& config = golden.config;
  std::vector<std::vector<float>> states = RowStates(golden, h_0);
  std::vector<float*> state_rows;
  for (std::vector<float>& state : states) state_rows.push_back(state.data());
  Result result{.output = std::vector<float>(static_cast<size_t>(golden.output_count()))};
  const bool first = golden.batch_first;
  const int64_t in = config.input_size;
  const int64_t out = config.output_size();
  EXPECT_TRUE(replica
                  .RunSequence({.time_steps = golden.time_steps,
                                .batch_size = golden.rows(),
                                .input = input.data(),
                                .input_time_stride = first ? in : golden.rows() * in,
                                .input_batch_stride = first ? golden.time_steps * in : in,
                                .output = result.output.data(),
                                .output_time_stride = first ? out : golden.rows() * out,
                                .output_batch_stride = first ? golden.time_steps * out : out,
                                .lengths = golden.lengths,
                                .states = state_rows})
                  .ok());
  for (int64_t block = 0; block < config.state_blocks(); ++block) {
    for (const std::vector<float>& state : states) {
      const auto begin = state.begin() + block * config.hidden_size;
      result.h_n.insert(result.h_n.end(), begin, begin + config.hidden_size);
    }
  }
  return result;
}

// [T, B, F] turned into [B, T, F].
template <typename T>
std::vector<T> Turned(const std::vector<T>& values, int64_t outer, int64_t inner, int64_t features) {
  std::vector<T> turned(values.size());
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      std::copy_n(values.begin() + (i * inner + j) * features, features,
                  turned.begin() + (j * outer + i) * features);
    }
  }
  return turned;
}

double LargestDifference(const std::vector<double>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(a[i] - static_cast<double>(b[i])));
  return largest;
}

class GoldenTest : public testing::Test {
 protected:
  GoldenTest() {
    const std::string folder = std::string(GRUSERVE_SOURCE_DIR) + "/tests/golden/";
    std::ifstream cases(folder + "cases.json");
    for (const nlohmann::json& json : nlohmann::json::parse(cases)) cases_.push_back(Parse(json));
    const auto file = SafetensorsFile::Read(folder + "witness.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    const auto bytes = file->bytes(file->entries().at("witness"));
    witness_.resize(bytes.size() / sizeof(double));
    std::memcpy(witness_.data(), bytes.data(), bytes.size());
  }

  static GoldenCase Parse(const nlohmann::json& json) {
    const bool cell = json["module"] == "cell";
    return {.config = {.module_kind = cell ? ModuleKind::kGruCell : ModuleKind::kGru,
                       .input_size = json["input_size"],
                       .hidden_size = json["hidden_size"],
                       .num_layers = json.value("num_layers", 1),
                       .num_directions = json.value("num_directions", 1),
                       .bias = json["bias"]},
            .batch = json["batch"],
            .time_steps = json["time_steps"],
            .h_0 = json["h_0"],
            .batch_first = json.value("batch_first", false),
            .lengths = json["lengths"],
            .seed = json["seed"],
            .torch_f32_error = json["torch_f32_error"],
            .torch_f32_error_of_shape = json.value("torch_f32_error_of_shape", 0.0)};
  }

  // The largest difference to the next `places` of the witness.
  double WitnessedError(const std::vector<size_t>& places, const std::vector<float>& ours) {
    double largest = 0;
    for (const size_t place : places) {
      largest = std::max(largest, std::abs(witness_[next_++] - static_cast<double>(ours[place])));
    }
    return largest;
  }

  // The largest error of a case computed in `dtype`: against the witness in its
  // places, and between them against our own reference.
  double LargestError(const GoldenCase& golden, ComputeDtype dtype) {
    const RandomGruNetwork gru = Network(golden);
    GruNetwork network = gru.network();
    network.config.compute_dtype = dtype;
    auto model = Model::Create(std::move(network));
    EXPECT_TRUE(model.ok()) << model.status();
    auto replica = Replica::Create(*std::move(model));
    EXPECT_TRUE(replica.ok()) << replica.status();
    const std::vector<float> input =
        Floats(golden, kInput, golden.time_steps * golden.rows() * golden.config.input_size);
    const std::vector<float> h_0 = golden.h_0 ? Floats(golden, kH0, golden.state_count())
                                              : std::vector<float>(static_cast<size_t>(golden.state_count()));
    // generate.py makes the numbers time-major.
    const std::vector<float> laid_out =
        golden.batch_first ? Turned(input, golden.time_steps, golden.rows(), golden.config.input_size)
                           : input;
    const Result ours = Infer(golden, **replica, laid_out, h_0);

    double error = WitnessedError(SampledPlaces(golden, 0, 256, golden.output_count()), ours.output);
    error = std::max(error, WitnessedError(SampledPlaces(golden, 1, 128, golden.state_count()), ours.h_n));
    ReferenceResult reference =
        ReferenceGru(gru, golden.time_steps, golden.rows(), input, h_0, golden.lengths);
    if (golden.batch_first) {
      reference.output =
          Turned(reference.output, golden.time_steps, golden.rows(), golden.config.output_size());
    }
    return std::max({error, LargestDifference(reference.output, ours.output),
                     LargestDifference(reference.h_n, ours.h_n)});
  }

  std::vector<GoldenCase> cases_;
  std::vector<double> witness_;
  size_t next_ = 0;
};

TEST_F(GoldenTest, EveryCaseIsWithinTwiceTorchsOwnError) {
  double worst_error = 0;
  double worst_ratio = 0;
  int unlucky = 0;
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE("seed " + std::to_string(golden.seed));
    const double error = LargestError(golden, ComputeDtype::kF32);
    const double bound = std::max(2 * golden.torch_f32_error, kLeastBound);
    EXPECT_LE(error, std::max(bound, 2 * golden.torch_f32_error_of_shape));
    if (error > bound) {
      ++unlucky;
      std::printf("seed %d: error %.3g of a few numbers, where PyTorch's own happens to be %.3g\n",
                  static_cast<int>(golden.seed), error, golden.torch_f32_error);
    }
    worst_error = std::max(worst_error, error);
    worst_ratio = std::max(worst_ratio, error / bound);
  }
  EXPECT_EQ(next_, witness_.size());
  EXPECT_LE(unlucky, kMaxUnlucky);
  std::printf("%zu cases: largest error %.3g, largest share of its bound %.2f\n", cases_.size(), worst_error,
              worst_ratio);
}

// What README says of bf16's accuracy. Where the processor has no bf16, the first
// case is seen refused.
TEST_F(GoldenTest, Bf16IsWithinItsBound) {
  if (const absl::Status has = CheckProcessorHas(ComputeDtype::kBf16); !has.ok()) {
    GruNetwork network = Network(cases_.front()).network();
    network.config.compute_dtype = ComputeDtype::kBf16;
    EXPECT_EQ(Model::Create(std::move(network)).status(), has);
    return;
  }
  std::vector<double> errors;
  for (const GoldenCase& golden : cases_) {
    SCOPED_TRACE("seed " + std::to_string(golden.seed));
    errors.push_back(LargestError(golden, ComputeDtype::kBf16));
    EXPECT_LE(errors.back(), kBf16Bound);
  }
  std::sort(errors.begin(), errors.end());
  std::printf("%zu cases in bf16: largest error %.3g, median of the cases' largest %.3g\n", errors.size(),
              errors.back(), errors[errors.size() / 2]);
}

}  // namespace
}  // namespace gruserve
