#include "server/tensor_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/base/bf16.h"

namespace gruserve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Tensor ValuesTensor(const std::vector<int64_t>& shape, int count) {
  v1::Tensor tensor;
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  for (int i = 0; i < count; ++i) tensor.add_values(static_cast<float>(i));
  return tensor;
}

v1::Tensor BytesTensor(const std::vector<int64_t>& shape, size_t bytes) {
  v1::Tensor tensor;
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  tensor.mutable_raw()->resize(bytes);
  return tensor;
}

TEST(ViewTensorTest, ReadsValues) {
  const v1::Tensor tensor = ValuesTensor({2, 1, 3}, 6);
  const auto view = ViewTensor(tensor, "input");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->form, TensorForm::kValues);
  EXPECT_THAT(view->shape, ElementsAre(2, 1, 3));
  EXPECT_THAT(view->elements, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(ViewTensorTest, ReadsRawInPlace) {
  v1::Tensor tensor;
  std::vector<float> written = {1.5F, -2.0F};
  tensor.add_shape(2);
  tensor.set_raw(written.data(), written.size() * sizeof(float));
  tensor.set_dtype(v1::DATA_TYPE_F32);
  const auto view = ViewTensor(tensor, "input");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->form, TensorForm::kRaw);
  EXPECT_THAT(view->elements, ElementsAre(1.5F, -2.0F));
  EXPECT_EQ(static_cast<const void*>(view->elements.data()), static_cast<const void*>(tensor.raw().data()));
}

TEST(ViewTensorTest, AnEmptyTensorNeedsNeither) {
  const v1::Tensor tensor = ValuesTensor({3, 0, 2}, 0);
  const auto view = ViewTensor(tensor, "input");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_TRUE(view->elements.empty());
}

struct BadTensor {
  const char* name;
  v1::Tensor tensor;
  std::string message;
};

class ViewTensorRefusesTest : public ::testing::TestWithParam<BadTensor> {};

TEST_P(ViewTensorRefusesTest, NamingFieldGotAndWanted) {
  const auto view = ViewTensor(GetParam().tensor, "x");
  EXPECT_EQ(view.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(view.status().message()), GetParam().message);
}

v1::Tensor WithDtype(v1::Tensor tensor, int dtype) {
  tensor.set_dtype(static_cast<v1::DataType>(dtype));
  return tensor;
}

v1::Tensor WithBoth() {
  v1::Tensor tensor = BytesTensor({1}, 4);
  tensor.add_values(1);
  return tensor;
}

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Tensors, ViewTensorRefusesTest,
    ::testing::Values(
        BadTensor{"NoShape", ValuesTensor({}, 1), "x has 0 dimensions, its shape is required"},
        BadTensor{"NegativeDim", ValuesTensor({2, -3}, 6), "x.shape[1] is -3, at least 0 is wanted"},
        BadTensor{
            "Overflow", ValuesTensor({kHuge, kHuge}, 1),
            "x.shape is [9223372036854775807, 9223372036854775807], more elements than any message holds"},
        BadTensor{
            "OverflowHiddenByZero", ValuesTensor({kHuge, kHuge, 0}, 0),
            "x.shape is [9223372036854775807, 9223372036854775807, 0], more elements than any message holds"},
        BadTensor{"ByteOverflow", ValuesTensor({int64_t{1} << 62}, 1),
                  "x.shape is [4611686018427387904], more elements than any message holds"},
        BadTensor{"ManyDims", ValuesTensor(std::vector<int64_t>(9, 1), 1),
                  "x has 9 dimensions, at most 3 are wanted"},
        BadTensor{"TooFew", ValuesTensor({2, 2}, 3), "x has 3 values, its shape [2, 2] wants 4"},
        BadTensor{"Neither", ValuesTensor({2, 2}, 0), "x has 0 values, its shape [2, 2] wants 4"},
        BadTensor{"RawSize", BytesTensor({2}, 7), "x has 7 raw bytes, its shape [2] wants 8"},
        BadTensor{"Both", WithBoth(), "x has both values and raw, one of them is wanted"},
        BadTensor{"Dtype", WithDtype(ValuesTensor({1}, 1), 77),
                  "x.dtype is 77, 1 (F32) or 2 (BF16) is wanted"}),
    [](const auto& row) { return row.param.name; });

TEST(MakeTensorTest, GivesBothFormsTheirElements) {
  for (const TensorForm form : {TensorForm::kValues, TensorForm::kRaw}) {
    v1::Tensor tensor;
    const std::vector<int64_t> shape = {2, 2};
    const std::span<float> elements = MakeTensor(shape, form, &tensor);
    ASSERT_EQ(elements.size(), 4U);
    for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<float>(i) + 0.5F;
    const auto view = ViewTensor(tensor, "made");
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_EQ(view->form, form);
    EXPECT_THAT(view->elements, ElementsAre(0.5F, 1.5F, 2.5F, 3.5F));
  }
}

TEST(CheckDimTest, SaysWhoExpectsWhat) {
  const v1::Tensor tensor = ValuesTensor({2, 12}, 24);
  const auto view = ViewTensor(tensor, "input");
  ASSERT_TRUE(view.ok());
  EXPECT_TRUE(CheckDim(*view, "input", 0, 2, "the batch").ok());
  EXPECT_THAT(std::string(CheckDim(*view, "input", 1, 16, "model \"demo\" version 3").message()),
              HasSubstr("input.shape[1] is 12, model \"demo\" version 3 expects 16"));
}

TEST(TensorCodecTest, Bf16ComesWidenedAndGoesRounded) {
  v1::Tensor tensor;
  tensor.add_shape(2);
  tensor.set_dtype(v1::DATA_TYPE_BF16);
  tensor.set_raw(std::string("\x80\x3f\x00\xc0", 4));
  const auto view = ViewTensor(tensor, "x");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->form, TensorForm::kBf16);
  EXPECT_THAT(view->elements, testing::ElementsAre(1.0F, -2.0F));
  // More than the block that is rounded at once.
  constexpr size_t kCount = 2500;
  std::vector<float> values(kCount);
  for (size_t i = 0; i < kCount; ++i) values[i] = 1.0F / static_cast<float>(i + 3);
  v1::Tensor filled;
  const int64_t shape[] = {kCount};
  FillTensor(shape, TensorForm::kBf16, values, &filled);
  ASSERT_EQ(filled.raw().size(), kCount * 2);
  const auto again = ViewTensor(filled, "x");
  ASSERT_TRUE(again.ok()) << again.status();
  for (size_t i = 0; i < kCount; ++i) EXPECT_EQ(again->elements[i], FromBf16(RoundToBf16(values[i]))) << i;
}

TEST(TensorCodecTest, Bf16IsRefusedBesideValuesAndWithHalfAnElement) {
  v1::Tensor tensor;
  tensor.add_shape(1);
  tensor.set_dtype(v1::DATA_TYPE_BF16);
  tensor.set_raw("abc");
  EXPECT_THAT(std::string(ViewTensor(tensor, "x").status().message()), testing::HasSubstr("3 raw bytes"));
  tensor.clear_raw();
  tensor.add_values(1);
  EXPECT_THAT(std::string(ViewTensor(tensor, "x").status().message()), testing::HasSubstr("raw is wanted"));
}

}  // namespace
}  // namespace gruserve::server
