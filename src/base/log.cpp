#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace halftone {
namespace {

// "warning: …", "error: …"; what is merely said stands as it is.
class PlainWords : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    std::string_view level;
    if (message.level == spdlog::level::warn) level = "warning";
    if (message.level >= spdlog::level::err) level = "error";
    if (!level.empty()) {
      message.color_range_start = out.size();
      out.append(level.data(), level.data() + level.size());
      message.color_range_end = out.size();
      out.append(std::string_view(": "));
    }
    out.append(message.payload.begin(), message.payload.end());
    out.push_back('\n');
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<PlainWords>();
  }
};

}  // namespace

void set_up_log(int verbosity) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool plain = no_color && *no_color;
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
      plain ? spdlog::color_mode::never : spdlog::color_mode::automatic);
  auto logger = std::make_shared<spdlog::logger>("halftone", std::move(sink));
  logger->set_formatter(std::make_unique<PlainWords>());
  logger->set_level(verbosity <= 0   ? spdlog::level::warn
                    : verbosity == 1 ? spdlog::level::info
                    : verbosity == 2 ? spdlog::level::debug
                                     : spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace halftone
