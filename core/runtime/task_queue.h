// First in, first out, through the tasks' own `next_queued` links: no allocation.
//
// Not thread-safe. Owns nothing; a task is in one queue at most.

#ifndef GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_
#define GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_

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

 private:
  Node* head_ = nullptr;
  Node* tail_ = nullptr;
};

}  // namespace gruserve

#endif  // GRUSERVE_CORE_RUNTIME_TASK_QUEUE_H_
