// A repository folder with random models, for tests that start a server; gone
// with the object. Not thread-safe.

#ifndef GRUSERVE_TESTS_SUPPORT_TEST_REPOSITORY_H_
#define GRUSERVE_TESTS_SUPPORT_TEST_REPOSITORY_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/replica.h"
#include "tests/support/reference_gru.h"
#include "tests/support/scratch_folder.h"

namespace gruserve {

// One of its models, and what the test needs to know the right answers.
class TestModel {
 public:
  TestModel(std::string name, uint32_t seed, const GruConfig& config);

  const std::string& name() const { return name_; }
  const GruConfig& config() const { return gru_.config; }
  const RandomGruNetwork& gru() const { return gru_; }

  // The outputs [T, H] of one row alone, step by step, with no server. `h_0`
  // [layers, H] may be empty. REQUIRES: the model is steppable.
  std::vector<float> Alone(std::span<const float> inputs, std::span<const float> h_0 = {}) const;

 private:
  const std::string name_;
  const RandomGruNetwork gru_;
  std::unique_ptr<Replica> replica_;
};

class TestRepository {
 public:
  const std::filesystem::path& root() const { return folder_.path(); }

  // Adds a version of a random model, in the place of what was there; it lives as long as
  // the repository.
  const TestModel& Add(const std::string& name, const GruConfig& config, uint32_t seed, int64_t version = 1);
  // Adds a version whose file cannot be read, in the place of what was there.
  void AddBroken(const std::string& name, int64_t version = 1);
  // The folder of a version.
  std::filesystem::path FolderOf(const std::string& name, int64_t version) const {
    return root() / name / std::to_string(version);
  }

 private:
  void Replace(const std::string& name, int64_t version, const std::string& bytes);

  const ScratchFolder folder_;
  std::vector<std::unique_ptr<TestModel>> models_;
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_TEST_REPOSITORY_H_
