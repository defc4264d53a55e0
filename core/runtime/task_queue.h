// First in, first out, through the tasks' own `next_queued` links: no allocation.
//
// Not thread-safe. Owns nothing; a task is in one queue at most.

#ifndef GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_

#include <cstdint>

namespace gruserve {

template <typename Node>
class TaskQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  // REQUIRES for front and PopFront: !empty().
  Node* front() const { return head_; }

  void PushBack(Node* node) {
    node->next_queued = nullptr;
    (empty() ? head_ : tail_->next_queued) = node;
    tail_ = node;
  }
  Node* PopFront() {
    Node* node = head_;
    head_ = node->next_queued;
    return node;
  }

  // Offers `wants` each in turn, takes out those it says yes to, and answers how many.
  template <typename Wants>
  int64_t TakeIf(Wants wants) {
    TaskQueue kept;
    int64_t taken = 0;
    while (!empty()) {
      Node* const node = PopFront();
      if (wants(node)) {
        ++taken;
      } else {
        kept.PushBack(node);
      }
    }
    *this = kept;
    return taken;
  }

 private:
  Node* head_ = nullptr;
  Node* tail_ = nullptr;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_
