// Counts what our own code allocates. oneDNN allocates too, for the map of arguments of
// each execution: calls from libdnnl are left out.
//
// A test program that uses it has its global `operator new`.

#ifndef GRUSERVE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
#define GRUSERVE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_

namespace gruserve {

// Counts from its making on, on all threads. One at a time.
class AllocationCounter {
 public:
  AllocationCounter();
  ~AllocationCounter() { Stop(); }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;

  // Counts no more, and answers how many there were.
  int Stop();
};

}  // namespace gruserve

#endif  // GRUSERVE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
