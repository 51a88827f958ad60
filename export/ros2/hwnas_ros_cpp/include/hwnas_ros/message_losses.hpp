// How many messages a subscriber never got: as the middleware says, and as their numbers show; see
// hwnas.robotics.message_losses.

#ifndef HWNAS_ROS_MESSAGE_LOSSES_HPP_
#define HWNAS_ROS_MESSAGE_LOSSES_HPP_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

namespace hwnas::ros {

/// Counts what was published and never taken. The middleware tells of messages that were lost on their way, but not of
/// those that newer ones replaced in its queue before they were taken. Publishers number their messages; gaps show both.
class MessageLosses {
 public:
  /// Takes what the middleware says is lost, too; returns how many messages that adds to those counted.
  uint64_t reported(uint64_t count) {
    reported_ += count;
    return added();
  }

  /// Takes a message that arrived; returns how many are missing before it that were not counted yet.
  ///
  /// number: that its publisher gave it; 0 where the middleware gives none, and nothing is known.
  uint64_t arrived(const std::string& publisher, uint64_t number) {
    if (!number) {
      last_.clear();
      return 0;
    }
    const auto [before, is_new] = last_.emplace(publisher, number);
    if (!is_new) {
      if (number > before->second) gaps_ += number - before->second - 1;  // otherwise the publisher begins anew
      before->second = number;
    }
    return added();
  }

 private:
  // What was not returned before: the middleware's losses are gaps, too.
  uint64_t added() {
    const uint64_t more = std::max(gaps_, reported_) - counted_;
    counted_ += more;
    return more;
  }

  std::map<std::string, uint64_t> last_;
  uint64_t gaps_ = 0, reported_ = 0, counted_ = 0;
};

}  // namespace hwnas::ros

#endif  // HWNAS_ROS_MESSAGE_LOSSES_HPP_
