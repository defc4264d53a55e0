#include "core/network/row_machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/status_macros.h"

namespace gruserve {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

void CopyFloats(float* target, const float* source, int64_t count) {
  std::memcpy(target, source, static_cast<size_t>(count) * sizeof(float));
}

// The index that `number` is, or -1 where it is none below `size`.
int64_t IndexOf(float number, int64_t size) {
  if (!(number >= 0 && number < static_cast<float>(size)) || number != std::floor(number)) return -1;
  return static_cast<int64_t>(number);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowMachine>> RowMachine::Create(const RowProgram& program) {
  std::unique_ptr<RowMachine> machine(new RowMachine(program));
  for (const RowInstruction& instruction : program.instructions()) {
    GRUSERVE_RETURN_IF_ERROR(machine->MakePrimitives(instruction));
  }
  int64_t scratchpad_bytes = 0;
  for (const auto& [op, primitives] : machine->primitives_) {
    for (const RowPrimitive& primitive : primitives)
      scratchpad_bytes = std::max(scratchpad_bytes, primitive.scratchpad_bytes());
  }
  machine->scratchpad_ = Scratchpad(scratchpad_bytes);
  for (ValueId value = 0; value < program.num_values(); ++value)
    machine->values_.emplace_back(kMaxRows * program.width(value));
  return machine;
}

absl::Status RowMachine::MakePrimitives(const RowInstruction& instruction) {
  primitives_of_.push_back(nullptr);
  if (instruction.kind != RowInstruction::Kind::kPrimitive) return absl::OkStatus();
  std::vector<RowPrimitive>& primitives = primitives_[instruction.op];
  primitives_of_.back() = &primitives;
  if (!primitives.empty()) return absl::OkStatus();
  for (const int64_t rows : *instruction.batches) {
    GRUSERVE_ASSIGN_OR_RETURN(RowPrimitive primitive, RowPrimitive::Create(instruction.op, rows));
    primitives.push_back(std::move(primitive));
  }
  const int64_t most = primitives.back().rows();
  if (most == kMaxRows) return absl::OkStatus();
  const RowOp& op = instruction.op;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int64_t floats = most * (i == 2 ? op.output_width : op.input_width);
    if (parts_[i].size() < floats) parts_[i] = AlignedBuffer(floats);
  }
  return absl::OkStatus();
}

absl::Status RowMachine::Run(size_t first, size_t last, int64_t rows) {
  for (size_t i = first; i < last; ++i) {
    const RowInstruction& instruction = program_.instructions()[i];
    switch (instruction.kind) {
      case RowInstruction::Kind::kPrimitive: {
        std::vector<RowPrimitive>& primitives = *primitives_of_[i];
        const auto fits = std::find_if(primitives.begin(), primitives.end(),
                                       [rows](const RowPrimitive& each) { return each.rows() >= rows; });
        if (fits == primitives.end()) {
          GRUSERVE_RETURN_IF_ERROR(RunInParts(instruction, primitives.back(), rows));
          break;
        }
        GRUSERVE_RETURN_IF_ERROR(
            fits->Run({.constants = &instruction.constants,
                       .src = value(instruction.inputs.front()),
                       .second = instruction.inputs.size() > 1 ? value(instruction.inputs[1]) : nullptr,
                       .dst = value(instruction.output),
                       .scratchpad = scratchpad_.data()}));
        break;
      }
      case RowInstruction::Kind::kGather:
      case RowInstruction::Kind::kOneHot:
        Gather(instruction, rows);
        break;
      default:
        Copy(instruction, rows);
    }
  }
  return absl::OkStatus();
}

// Primitives see aligned arrays only, as in the trial that chose them.
absl::Status RowMachine::RunInParts(const RowInstruction& instruction, RowPrimitive& primitive,
                                    int64_t rows) {
  const RowOp& op = instruction.op;
  for (int64_t first = 0; first < rows; first += primitive.rows()) {
    const int64_t count = std::min(primitive.rows(), rows - first);
    for (size_t i = 0; i < instruction.inputs.size(); ++i) {
      CopyFloats(parts_[i].data(), value(instruction.inputs[i]) + first * op.input_width,
                 count * op.input_width);
    }
    GRUSERVE_RETURN_IF_ERROR(primitive.Run({.constants = &instruction.constants,
                                            .src = parts_[0].data(),
                                            .second = parts_[1].data(),
                                            .dst = parts_[2].data(),
                                            .scratchpad = scratchpad_.data()}));
    CopyFloats(value(instruction.output) + first * op.output_width, parts_[2].data(),
               count * op.output_width);
  }
  return absl::OkStatus();
}

void RowMachine::Copy(const RowInstruction& instruction, int64_t rows) {
  const int64_t output_width = width(instruction.output);
  float* target = value(instruction.output);
  for (int64_t row = 0; row < rows; ++row, target += output_width) {
    if (instruction.kind == RowInstruction::Kind::kExpand) {
      std::fill_n(target, output_width, value(instruction.inputs[0])[row]);
      continue;
    }
    float* place = target;
    for (const ValueId input : instruction.inputs) {
      const int64_t count = instruction.kind == RowInstruction::Kind::kSlice ? output_width : width(input);
      CopyFloats(place, value(input) + row * width(input) + instruction.begin, count);
      place += count;
    }
  }
}

void RowMachine::Gather(const RowInstruction& instruction, int64_t rows) {
  const int64_t output_width = width(instruction.output);
  const float* const indexes = value(instruction.inputs[0]);
  float* target = value(instruction.output);
  for (int64_t row = 0; row < rows; ++row, target += output_width) {
    const int64_t index = IndexOf(indexes[row], instruction.table_rows);
    if (index < 0) {
      std::fill_n(target, output_width, kNaN);
    } else if (instruction.kind == RowInstruction::Kind::kGather) {
      CopyFloats(target, instruction.table.data() + index * output_width, output_width);
    } else {
      std::fill_n(target, output_width, 0.0F);
      target[index] = 1;
    }
  }
}

}  // namespace gruserve
