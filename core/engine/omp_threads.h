// One OpenMP thread for whatever runs in this scope, on this thread.
//
// oneDNN sizes a primitive's work and scratchpad by the thread count it finds, so
// primitives are made and run under it. Cheap enough to sit around every run.

#ifndef GRUSERVE_CORE_ENGINE_OMP_THREADS_H_
#define GRUSERVE_CORE_ENGINE_OMP_THREADS_H_

namespace gruserve {

class SingleOmpThread {
 public:
  SingleOmpThread();
  ~SingleOmpThread();

  SingleOmpThread(const SingleOmpThread&) = delete;
  SingleOmpThread& operator=(const SingleOmpThread&) = delete;

 private:
  const int previous_;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_ENGINE_OMP_THREADS_H_
