// A race on purpose: the `tsan` preset must report it, or it reports nothing.
// The counter under a lock shows that absl::Mutex is understood.

#include <cstdio>
#include <thread>

#include "absl/base/attributes.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace {

struct Counters {
  absl::Mutex mu;
  int guarded ABSL_GUARDED_BY(mu) = 0;
  int raced = 0;
};

ABSL_ATTRIBUTE_NOINLINE void AddGuarded(Counters& counters) {
  const absl::MutexLock lock(&counters.mu);
  ++counters.guarded;
}

ABSL_ATTRIBUTE_NOINLINE void AddRaced(Counters& counters) { ++counters.raced; }

void AddBoth(Counters& counters) {
  for (int i = 0; i < 1000; ++i) {
    AddRaced(counters);
    AddGuarded(counters);
  }
}

}  // namespace

int main() {
  Counters counters;
  std::thread other([&counters] { AddBoth(counters); });
  AddBoth(counters);
  other.join();
  const absl::MutexLock lock(&counters.mu);
  std::printf("guarded %d, raced %d\n", counters.guarded, counters.raced);
  return counters.guarded == 2000 ? 0 : 1;
}
