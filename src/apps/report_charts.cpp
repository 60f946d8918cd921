// Inline SVG for the report: the error map as halftone dots, the line over layers, bars.
#include "apps/report_charts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "apps/report_style.h"

namespace halftone::report {
namespace {

constexpr int kLevels = 8;

// From the least to the greatest of what is finite and positive; never empty, never of no width.
struct LogScale {
  double low = 1e-4, high = 1e-3;

  explicit LogScale(const std::vector<ReportModule>& modules) {
    bool any = false;
    for (const ReportModule& module : modules) {
      const double error = module.relative_error;
      if (!std::isfinite(error) || error <= 0) continue;
      low = any ? std::min(low, error) : error;
      high = any ? std::max(high, error) : error;
      any = true;
    }
    if (high < low * 1.25) {
      low /= 1.25;
      high *= 1.25;
    }
  }
  double position(double value) const {  // 0 at low, 1 at high
    if (!(value > low)) return 0;
    return std::min(1.0, std::log(value / low) / std::log(high / low));
  }
  double at(double position) const { return low * std::pow(high / low, position); }
  int level(double value) const {
    return std::min(kLevels - 1, static_cast<int>(position(value) * kLevels));
  }
};

double radius(int level, double cell) { return cell * (0.13 + 0.35 * (level + 1) / kLevels); }

int layers_of(const std::vector<ReportModule>& modules) {
  int layers = 0;
  for (const ReportModule& module : modules) layers = std::max(layers, module.layer + 1);
  return layers;
}

// Every 1st, 2nd, 5th, 10th, … layer is labelled, so that no more than about sixteen are.
int label_step(int layers) {
  for (const int step : {1, 2, 5, 10, 20, 50}) {
    if (layers <= 16 * step) return step;
  }
  return 100;
}

// Roles in the order of the forward pass, others after them as they come.
std::vector<std::string> roles_of(const std::vector<ReportModule>& modules) {
  std::vector<std::string> roles = {"q", "k", "v", "o", "gate", "up", "down"};
  const auto present = [&](const std::string& role) {
    return std::any_of(modules.begin(), modules.end(),
                       [&](const auto& m) { return m.role == role; });
  };
  roles.erase(std::remove_if(roles.begin(), roles.end(), std::not_fn(present)), roles.end());
  for (const ReportModule& module : modules) {
    if (std::find(roles.begin(), roles.end(), module.role) == roles.end())
      roles.push_back(module.role);
  }
  return roles;
}

std::string tooltip(const ReportModule& module) {
  std::string text = fmt::format("{} ({} × {}): relative error {}", module.name, module.rows,
                                 module.cols, figure(module.relative_error));
  if (!module.note.empty()) text += "; " + module.note;
  return "<title>" + escaped(text) + "</title>";
}

std::string dot(double x, double y, double cell, const ReportModule& module,
                const LogScale& scale) {
  const int level = scale.level(module.relative_error);
  return fmt::format(R"(<circle class="e{}" cx="{:.1f}" cy="{:.1f}" r="{:.2f}">{}</circle>)", level,
                     x, y, radius(level, cell), tooltip(module));
}

// Eight dots, and the figures at which one becomes the next.
std::string legend(const LogScale& scale) {
  constexpr double kWidth = 62, kCell = 20, kLeft = 30;
  std::string svg =
      fmt::format(R"(<svg viewBox="0 0 {0:.0f} 50" width="{0:.0f}" height="50" role="img">)"
                  "<title>Scale of the relative error</title>",
                  2 * kLeft + kWidth * kLevels);
  for (int level = 0; level < kLevels; ++level) {
    svg += fmt::format(R"(<circle class="e{}" cx="{:.1f}" cy="14" r="{:.2f}"/>)", level,
                       kLeft + kWidth * (level + 0.5), radius(level, kCell));
  }
  for (int edge = 0; edge <= kLevels; ++edge) {
    const double x = kLeft + kWidth * edge;
    svg += fmt::format(R"(<line class="grid" x1="{0:.1f}" y1="26" x2="{0:.1f}" y2="31"/>)"
                       R"(<text x="{0:.1f}" y="44" text-anchor="middle">{1}</text>)",
                       x, figure(scale.at(static_cast<double>(edge) / kLevels)));
  }
  return svg + "</svg>";
}

}  // namespace

std::string error_map(const std::vector<ReportModule>& modules) {
  const LogScale scale(modules);
  const std::vector<std::string> roles = roles_of(modules);
  const int layers = layers_of(modules);
  const double cell = std::clamp(860.0 / layers, 9.0, 26.0), left = 44, top = 2;
  const double bottom = top + cell * static_cast<double>(roles.size());
  const double width = left + cell * layers + 4, height = bottom + 36;

  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img">)"
      "<title>Relative error of every module</title>",
      width, height);
  for (size_t row = 0; row < roles.size(); ++row) {
    const double y = top + cell * (static_cast<double>(row) + 0.5);
    svg += fmt::format(R"(<text x="{:.0f}" y="{:.1f}" text-anchor="end">{}</text>)", left - 8,
                       y + 4, escaped(roles[row]));
    std::set<int> drawn;
    for (const ReportModule& module : modules) {
      if (module.role != roles[row] || module.layer < 0) continue;
      svg += dot(left + cell * (module.layer + 0.5), y, cell, module, scale) + "\n";
      drawn.insert(module.layer);
    }
    for (int layer = 0; layer < layers; ++layer) {
      if (drawn.count(layer)) continue;
      svg += fmt::format(R"(<circle class="none" cx="{:.1f}" cy="{:.1f}" r="{:.1f}">)"
                         "<title>layer {}: not quantized</title></circle>",
                         left + cell * (layer + 0.5), y, cell * 0.2, layer);
    }
  }
  for (int layer = 0; layer < layers; layer += label_step(layers)) {
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)",
                       left + cell * (layer + 0.5), bottom + 16, layer);
  }
  svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">layer</text></svg>)",
                     left + cell * layers / 2, bottom + 32);
  return svg + "\n" + legend(scale);
}

namespace {

struct LayerErrors {
  double least = 0, greatest = 0, sum = 0;
  int count = 0;
  double mean() const { return sum / count; }
};

std::map<int, LayerErrors> by_layer(const std::vector<ReportModule>& modules) {
  std::map<int, LayerErrors> layers;
  for (const ReportModule& module : modules) {
    const double error = module.relative_error;
    if (!std::isfinite(error) || error <= 0) continue;
    LayerErrors& layer = layers[module.layer];
    layer.least = layer.count ? std::min(layer.least, error) : error;
    layer.greatest = std::max(layer.greatest, error);
    layer.sum += error;
    ++layer.count;
  }
  return layers;
}

// 1, 2 and 5 times the powers of ten within the scale.
std::vector<double> ticks(const LogScale& scale) {
  std::vector<double> values;
  for (int power = -12; power <= 6; ++power) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double value = digit * std::pow(10.0, power);
      if (value >= scale.low && value <= scale.high) values.push_back(value);
    }
  }
  return values;
}

}  // namespace

std::string error_by_layer(const std::vector<ReportModule>& modules) {
  constexpr double kWidth = 900, kHeight = 250, kLeft = 58, kRight = 10, kTop = 8, kBottom = 42;
  const LogScale scale(modules);
  const int layers = layers_of(modules);
  const auto x = [&](int layer) {
    return kLeft + (kWidth - kLeft - kRight) * (layer + 0.5) / std::max(layers, 1);
  };
  const auto y = [&](double error) {
    return kHeight - kBottom - (kHeight - kBottom - kTop) * scale.position(error);
  };

  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img">)"
      "<title>Relative error by layer</title>",
      kWidth, kHeight);
  for (const double tick : ticks(scale)) {
    svg += fmt::format(R"(<line class="grid" x1="{0:.0f}" y1="{1:.1f}" x2="{2:.0f}" y2="{1:.1f}"/>)"
                       R"(<text x="{3:.0f}" y="{4:.1f}" text-anchor="end">{5}</text>)",
                       kLeft, y(tick), kWidth - kRight, kLeft - 8, y(tick) + 4,
                       fmt::format("{:g}", tick));
  }
  std::string upper, lower, line, dots;
  for (const auto& [layer, errors] : by_layer(modules)) {
    upper += fmt::format("{:.1f},{:.1f} ", x(layer), y(errors.greatest));
    lower = fmt::format("{:.1f},{:.1f} ", x(layer), y(errors.least)) + lower;
    line += fmt::format("{:.1f},{:.1f} ", x(layer), y(errors.mean()));
    dots += fmt::format(
        R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"><title>layer {}: mean {}, {} to {}</title></circle>)",
        x(layer), y(errors.mean()), layer, figure(errors.mean()), figure(errors.least),
        figure(errors.greatest));
  }
  svg +=
      fmt::format(R"(<polygon class="band" points="{}{}"/><polyline class="line" points="{}"/>{})",
                  upper, lower, line, dots);
  for (int layer = 0; layer < layers; layer += label_step(layers)) {
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.0f}" text-anchor="middle">{}</text>)", x(layer),
                       kHeight - kBottom + 18, layer);
  }
  return svg + fmt::format(R"(<text x="{:.0f}" y="{:.0f}" text-anchor="middle">layer</text></svg>)",
                           (kLeft + kWidth - kRight) / 2, kHeight - 4);
}

std::string bars(const std::vector<Bar>& bars) {
  constexpr double kWidth = 420, kStep = 46, kThick = 16;
  double longest = 0;
  for (const Bar& bar : bars) longest = std::max(longest, bar.value + bar.error.value_or(0));
  const double height = kStep * static_cast<double>(bars.size());
  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img">)", kWidth,
      height);
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    const double y = kStep * static_cast<double>(i);
    const double length = longest > 0 ? kWidth * bar.value / longest : 0;
    svg += fmt::format(
        R"(<text class="strong" x="0" y="{0:.0f}">{1}</text>)"
        R"(<text class="strong" x="{2:.0f}" y="{0:.0f}" text-anchor="end">{3}</text>)"
        R"(<rect class="bar{4}" x="0" y="{5:.0f}" width="{6:.1f}" height="{7:.0f}" rx="2"/>)",
        y + 14, escaped(bar.label), kWidth, escaped(bar.words), bar.best ? " best" : "", y + 20,
        std::max(length, 1.0), kThick);
    if (bar.error && longest > 0) {
      const double half = kWidth * *bar.error / longest, middle = y + 20 + kThick / 2;
      svg += fmt::format(
          R"(<path class="whisker" d="M{0:.1f} {1:.1f}H{2:.1f}M{0:.1f} {3:.1f}v8M{2:.1f} {3:.1f}v8"/>)",
          std::max(length - half, 0.0), middle, length + half, middle - 4);
    }
  }
  return svg + "</svg>";
}

}  // namespace halftone::report
