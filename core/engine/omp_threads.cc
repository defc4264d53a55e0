#include "core/engine/omp_threads.h"

#include <omp.h>

namespace gruserve {

SingleOmpThread::SingleOmpThread() : previous_(omp_get_max_threads()) {
  if (previous_ != 1) omp_set_num_threads(1);
}

SingleOmpThread::~SingleOmpThread() {
  if (previous_ != 1) omp_set_num_threads(previous_);
}

}  // namespace gruserve
