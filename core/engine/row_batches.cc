#include "core/engine/row_batches.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/base/aligned_buffer.h"
#include "core/base/status_macros.h"
#include "core/engine/omp_threads.h"
#include "core/engine/random_buffer.h"
#include "core/engine/row_primitive.h"
#include "core/engine/scratchpad.h"

namespace gruserve {
namespace {

constexpr int64_t kBatches[] = {1, 2, 4, 8, 16, 32, 64};
constexpr int64_t kRows = RowOp::kMaxRows;
// Another order of adding may show in one value of hundreds only.
constexpr int64_t kValuesCompared = 8192;
constexpr int64_t kMaxRounds = 256;

size_t FloatBytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

class RowTrial {
 public:
  explicit RowTrial(const RowOp& op) : op_(op) {}

  absl::StatusOr<std::vector<int64_t>> Run() {
    const SingleOmpThread single_thread;
    GRUSERVE_RETURN_IF_ERROR(MakeCandidates());
    const int64_t wanted = kValuesCompared / (kRows * op_.output_width) + 1;
    for (int64_t round = 0; round < std::min(wanted, kMaxRounds); ++round) {
      src_ = RandomBuffer(random_, kRows * op_.input_width, 2.0F);
      second_ = RandomBuffer(random_, kRows * op_.input_width, 2.0F);
      for (Candidate& candidate : candidates_) GRUSERVE_RETURN_IF_ERROR(RunInPlaces(candidate));
      Compare();
    }
    return LargestClass();
  }

 private:
  struct Candidate {
    RowPrimitive primitive;
    bool steady = true;     // A row's place does not matter.
    std::set<size_t> like;  // Those that gave the same bits in every round.
    AlignedBuffer result;   // Of this round, in the order of the rows.
  };

  absl::Status MakeCandidates() {
    const float bound = 1.0F / std::sqrt(static_cast<float>(op_.input_width));
    const int64_t first = op_.kind == RowOpKind::kDense ? op_.input_width * op_.output_width
                          : op_.constant_first          ? kRows * op_.input_width
                                                        : op_.input_width;
    constants_ = {.first = RandomBuffer(random_, first, bound),
                  .second = RandomBuffer(random_, op_.output_width, bound)};
    int64_t scratchpad_bytes = 0;
    for (const int64_t batch : kBatches) {
      GRUSERVE_ASSIGN_OR_RETURN(RowPrimitive primitive, RowPrimitive::Create(op_, batch));
      scratchpad_bytes = std::max(scratchpad_bytes, primitive.scratchpad_bytes());
      candidates_.push_back({.primitive = std::move(primitive)});
    }
    scratchpad_ = Scratchpad(scratchpad_bytes);
    for (Candidate& candidate : candidates_) {
      for (size_t other = 0; other < candidates_.size(); ++other) candidate.like.insert(other);
    }
    return absl::OkStatus();
  }

  // Every row, with those of each batch moved on by `shift` places.
  absl::StatusOr<AlignedBuffer> RunShifted(RowPrimitive& primitive, int64_t shift) {
    const int64_t batch = primitive.rows();
    const int64_t input = op_.input_width;
    const int64_t output = op_.output_width;
    AlignedBuffer src(batch * input);
    AlignedBuffer second(batch * input);
    AlignedBuffer dst(batch * output);
    AlignedBuffer result(kRows * output);
    for (int64_t first = 0; first < kRows; first += batch) {
      for (int64_t i = 0; i < batch; ++i) {
        const int64_t place = (i + shift) % batch;
        std::memcpy(src.data() + place * input, src_.data() + (first + i) * input, FloatBytes(input));
        std::memcpy(second.data() + place * input, second_.data() + (first + i) * input, FloatBytes(input));
      }
      GRUSERVE_RETURN_IF_ERROR(primitive.Run({.constants = &constants_,
                                              .src = src.data(),
                                              .second = second.data(),
                                              .dst = dst.data(),
                                              .scratchpad = scratchpad_.data()}));
      for (int64_t i = 0; i < batch; ++i) {
        std::memcpy(result.data() + (first + i) * output, dst.data() + (i + shift) % batch * output,
                    FloatBytes(output));
      }
    }
    return result;
  }

  absl::Status RunInPlaces(Candidate& candidate) {
    const int64_t batch = candidate.primitive.rows();
    GRUSERVE_ASSIGN_OR_RETURN(candidate.result, RunShifted(candidate.primitive, 0));
    for (const int64_t shift : std::set<int64_t>{1, batch / 2, batch - 1}) {
      if (!candidate.steady || shift == 0 || shift >= batch) continue;
      GRUSERVE_ASSIGN_OR_RETURN(const AlignedBuffer shifted, RunShifted(candidate.primitive, shift));
      candidate.steady = Same(candidate.result, shifted);
    }
    return absl::OkStatus();
  }

  static bool Same(const AlignedBuffer& a, const AlignedBuffer& b) {
    return std::memcmp(a.data(), b.data(), FloatBytes(a.size())) == 0;
  }

  void Compare() {
    for (Candidate& candidate : candidates_) {
      std::erase_if(candidate.like,
                    [&](size_t other) { return !Same(candidate.result, candidates_[other].result); });
    }
  }

  // The most that are equal to each other; of as many, those with the largest batch. A
  // batch of one is steady at least.
  std::vector<int64_t> LargestClass() const {
    std::vector<int64_t> best;
    for (const Candidate& candidate : candidates_) {
      if (!candidate.steady) continue;
      std::vector<int64_t> batches;
      for (const size_t other : candidate.like) {
        if (candidates_[other].steady) batches.push_back(kBatches[other]);
      }
      if (batches.size() >= best.size()) best = std::move(batches);
    }
    return best;
  }

  const RowOp op_;
  std::mt19937 random_{42};
  RowConstants constants_;
  std::vector<Candidate> candidates_;
  Scratchpad scratchpad_;
  AlignedBuffer src_;
  AlignedBuffer second_;
};

// Every op's answer. Different ops are tried at the same time; the same op once, with
// the later callers waiting.
class ChoiceTable {
 public:
  absl::StatusOr<std::shared_ptr<const std::vector<int64_t>>> Find(const RowOp& op) ABSL_LOCKS_EXCLUDED(mu_) {
    const std::shared_ptr<Choice> choice = FindChoice(op);
    const absl::MutexLock lock(&choice->mu);
    if (choice->batches == nullptr) {
      GRUSERVE_ASSIGN_OR_RETURN(std::vector<int64_t> equal, RowTrial(op).Run());
      choice->batches = std::make_shared<const std::vector<int64_t>>(std::move(equal));
    }
    return choice->batches;
  }

 private:
  struct Choice {
    absl::Mutex mu;
    std::shared_ptr<const std::vector<int64_t>> batches ABSL_GUARDED_BY(mu);  // Null until tried.
  };

  std::shared_ptr<Choice> FindChoice(const RowOp& op) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    std::shared_ptr<Choice>& choice = choices_[op];
    if (choice == nullptr) choice = std::make_shared<Choice>();
    return choice;
  }

  absl::Mutex mu_;
  std::map<RowOp, std::shared_ptr<Choice>> choices_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::shared_ptr<const std::vector<int64_t>>> ChooseRowBatches(const RowOp& op) {
  static auto* const table = new ChoiceTable;
  return table->Find(op);
}

}  // namespace gruserve
