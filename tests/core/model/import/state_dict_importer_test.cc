#include "core/model/import/state_dict_importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/model_builder.h"
#include "tests/support/status_matchers.h"

namespace gruserve {
namespace {

using absl::StatusCode;
using testing::ContainsRegex;
using Tensors = std::map<std::string, RawTensorEntry>;

absl::StatusOr<GruNetwork> Import(const Tensors& tensors) {
  const auto file = SafetensorsFile::Parse(SafetensorsBytes(tensors));
  EXPECT_TRUE(file.ok()) << file.status();
  return ImportStateDict(*file);
}

std::vector<float> Floats(const AlignedBuffer& buffer) {
  return {buffer.span().begin(), buffer.span().end()};
}

void ExpectEqual(const GruNetwork& a, const GruNetwork& b) {
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.parameter_count, b.parameter_count);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (size_t i = 0; i < a.layers.size(); ++i) {
    EXPECT_EQ(Floats(a.layers[i].weights_layer), Floats(b.layers[i].weights_layer));
    EXPECT_EQ(Floats(a.layers[i].weights_iter), Floats(b.layers[i].weights_iter));
    EXPECT_EQ(Floats(a.layers[i].bias), Floats(b.layers[i].bias));
  }
}

class SoundStateDictTest : public testing::TestWithParam<GruConfig> {};

TEST_P(SoundStateDictTest, NeedsNoConfig) {
  const RandomGruNetwork gru = RandomGru(3, GetParam());
  const auto imported = Import(StateDict(gru));
  ASSERT_TRUE(imported.ok()) << imported.status();
  ExpectEqual(*imported, gru.network());
  const auto prefixed = Import(StateDict(gru, "encoder.gru."));
  ASSERT_TRUE(prefixed.ok()) << prefixed.status();
  ExpectEqual(*prefixed, gru.network());
}

INSTANTIATE_TEST_SUITE_P(
    Configs, SoundStateDictTest,
    testing::Values(
        GruConfig{.input_size = 1, .hidden_size = 1},
        GruConfig{.input_size = 3, .hidden_size = 5, .num_layers = 12},
        GruConfig{.input_size = 4, .hidden_size = 3, .num_layers = 2, .num_directions = 2},
        GruConfig{.input_size = 4, .hidden_size = 3, .bias = false},
        GruConfig{.module_kind = ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10},
        GruConfig{.module_kind = ModuleKind::kGruCell, .input_size = 5, .hidden_size = 10, .bias = false}));

// Stores the first value of every tensor as `bytes` of `dtype`, the rest as zeros.
Tensors Converted(const Tensors& tensors, const std::string& dtype, const std::string& first) {
  Tensors converted = tensors;
  for (auto& [name, tensor] : converted) {
    tensor.dtype = dtype;
    std::string bytes(tensor.bytes.size() / 4 * first.size(), '\0');
    bytes.replace(0, first.size(), first);
    tensor.bytes = bytes;
  }
  return converted;
}

TEST(StateDictImporterTest, ConvertsOtherFloats) {
  const Tensors f32 = StateDict(RandomGru(1, {.input_size = 1, .hidden_size = 1}));
  const double third = 1.0 / 3.0;
  std::string f64(8, '\0');
  std::memcpy(f64.data(), &third, 8);
  const std::vector<std::tuple<std::string, std::string, float>> cases = {
      {"F64", f64, static_cast<float>(third)},
      {"BF16", std::string("\xab\x3e", 2), 0.333984375F},
      {"F16", std::string("\x55\x35", 2), 0.333251953125F},
      {"F16", std::string("\x00\xc0", 2), -2.0F},
      {"F16", std::string("\x01\x00", 2), 5.9604644775390625e-8F},  // The smallest subnormal.
      {"F16", std::string("\xff\x7b", 2), 65504.0F},                // The largest number.
  };
  for (const auto& [dtype, bytes, expected] : cases) {
    const auto imported = Import(Converted(f32, dtype, bytes));
    ASSERT_TRUE(imported.ok()) << imported.status();
    // Gate r is the first of PyTorch's rows and the second of oneDNN's.
    EXPECT_EQ(imported->layers[0].weights_layer.data()[1], expected) << dtype;
  }
}

struct Refusal {
  const char* name;
  std::function<void(Tensors&)> spoil;
  const char* pattern;
};

class UnsoundStateDictTest : public testing::TestWithParam<Refusal> {};

TEST_P(UnsoundStateDictTest, IsRefusedByName) {
  Tensors tensors =
      StateDict(RandomGru(1, {.input_size = 3, .hidden_size = 4, .num_layers = 3, .num_directions = 2}));
  GetParam().spoil(tensors);
  EXPECT_THAT(Import(tensors), StatusIs(StatusCode::kInvalidArgument, ContainsRegex(GetParam().pattern)));
}

RawTensorEntry Zeros(std::vector<int64_t> shape, const std::string& dtype = "F32", size_t element_bytes = 4) {
  size_t bytes = element_bytes;
  for (const int64_t dim : shape) bytes *= static_cast<size_t>(dim);
  return {dtype, std::move(shape), std::string(bytes, '\0')};
}

std::vector<Refusal> Refusals() {
  return {
      {"Nothing", [](Tensors& t) { t.clear(); }, "holds no tensors"},
      {"ForeignTensor",
       [](Tensors& t) {
         t["fc.weight"] = Zeros({1, 4});
       },
       "tensor fc.weight does not belong .* model.json"},
      {"TwoPrefixes",
       [](Tensors& t) {
         t["other.weight_ih_l0"] = Zeros({12, 3});
       },
       "other.weight_ih_l0"},
      {"OddLayerName",
       [](Tensors& t) {
         t["weight_ih_l01"] = Zeros({12, 3});
       },
       "weight_ih_l01"},
      {"Projection",
       [](Tensors& t) {
         t["weight_hr_l0"] = Zeros({2, 4});
       },
       "weight_hr_l0"},
      {"HugeLayer",
       [](Tensors& t) {
         t["weight_ih_l99999999999"] = Zeros({12, 3});
       },
       "l99999999999"},
      {"HalfADirection", [](Tensors& t) { t.erase("weight_hh_l1_reverse"); },
       "weight_hh_l1_reverse is missing"},
      {"NoReverseLayer",
       [](Tensors& t) {
         for (const char* role : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
           t.erase(std::string(role) + "_l1_reverse");
         }
       },
       "weight_ih_l1_reverse is missing"},
      {"NoLayerBetween",
       [](Tensors& t) {
         for (const char* role : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
           t.erase(std::string(role) + "_l1");
           t.erase(std::string(role) + "_l1_reverse");
         }
       },
       "weight_ih_l1 is missing"},
      {"ReverseInOneLayerOnly",
       [](Tensors& t) {
         for (const char* role : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
           t.erase(std::string(role) + "_l0_reverse");
         }
       },
       "weight_ih_l0_reverse is missing"},
      {"OneBias", [](Tensors& t) { t.erase("bias_hh_l2"); }, "bias_hh_l2 is missing: biases"},
      {"BiasInOneLayerOnly",
       [](Tensors& t) {
         t.erase("bias_ih_l0");
         t.erase("bias_hh_l0");
       },
       "bias_ih_l0_reverse comes without biases in layer 0"},
      {"CellAndGru",
       [](Tensors& t) {
         t["weight_ih"] = Zeros({12, 3});
       },
       "weight_ih.* GRU"},
      {"Lstm",
       [](Tensors& t) {
         t["weight_hh_l0"] = Zeros({16, 4});
       },
       "weight_hh_l0 has 16 rows.*LSTM"},
      {"WrongRows",
       [](Tensors& t) {
         t["weight_ih_l0"] = Zeros({11, 3});
       },
       R"(weight_ih_l0 has the shape \[11, 3\], expected \[12, 3\])"},
      {"WrongInput",
       [](Tensors& t) {
         t["weight_ih_l1"] = Zeros({12, 4});
       },
       R"(weight_ih_l1 has the shape \[12, 4\], expected \[12, 8\])"},
      {"OtherHidden",
       [](Tensors& t) {
         t["weight_hh_l2"] = Zeros({15, 5});
       },
       R"(weight_hh_l2 has the shape \[15, 5\], expected \[12, 4\])"},
      {"WrongBias", [](Tensors& t) { t["bias_ih_l1"] = Zeros({13}); },
       R"(bias_ih_l1 has the shape \[13\], expected \[12\])"},
      {"OneDimension", [](Tensors& t) { t["weight_hh_l0"] = Zeros({48}); }, "weight_hh_l0 has 1 dimensions"},
      {"NoInput",
       [](Tensors& t) {
         t["weight_ih_l0"] = Zeros({12, 0});
       },
       "input_size 0"},
      {"NoHidden",
       [](Tensors& t) {
         t["weight_hh_l0"] = Zeros({0, 0});
       },
       "hidden_size 0"},
      {"Integers",
       [](Tensors& t) {
         t["weight_ih_l0"] = Zeros({12, 3}, "I32");
       },
       "weight_ih_l0 has the dtype I32, expected F32, F16, BF16 or F64"}};
}

INSTANTIATE_TEST_SUITE_P(Spoilt, UnsoundStateDictTest, testing::ValuesIn(Refusals()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace gruserve
