// The plot of loss against size: what each method costs at each width.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "apps/report_charts.h"
#include "apps/report_style.h"

namespace halftone::report {
namespace {

constexpr double kWidth = 640, kHeight = 320, kLeft = 70, kRight = 20, kTop = 20, kBottom = 46;
constexpr const char* kMarks[] = {"M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z", "M-5 -5h10v10h-10z",
                                  "M0 -6l6 10h-12z", "M0 -6l6 6l-6 6l-6 -6z"};

bool drawn(const ReportRow& row) {
  return !row.series.empty() && row.kl && std::isfinite(*row.kl) && *row.kl > 0 &&
         row.bits_per_weight > 0;
}

// Where a value stands between the least and the greatest, widened by a twentieth.
struct Axis {
  double low = INFINITY, high = -INFINITY;
  void take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void widen(double least) {
    const double more = std::max((high - low) / 20, least);
    low -= more;
    high += more;
  }
  double at(double value) const { return (value - low) / (high - low); }
};

class Plot {
 public:
  explicit Plot(const std::vector<const ReportRow*>& rows) {
    for (const ReportRow* row : rows) {
      series_[row->series].push_back(row);
      bits_.take(row->bits_per_weight);
      loss_.take(std::log10(*row->kl));
    }
    bits_.widen(0.1);
    loss_.widen(0.05);
  }

  std::string draw() const {
    std::string svg = fmt::format(
        R"svg(<svg viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" role="img">)svg",
        kWidth, kHeight);
    svg += grid();
    size_t mark = 0;
    double legend = kLeft;
    for (const auto& [name, rows] : series_) {
      svg += line(rows, kMarks[mark % std::size(kMarks)]);
      svg += fmt::format(R"svg(<path class="bar" transform="translate({0:.0f} 10)" d="{1}"/>)svg"
                         R"svg(<text x="{2:.0f}" y="14">{3}</text>)svg",
                         legend, kMarks[mark % std::size(kMarks)], legend + 12, escaped(name));
      legend += 34 + 8 * static_cast<double>(name.size());
      ++mark;
    }
    return svg + "</svg>";
  }

 private:
  double x(double bits) const { return kLeft + bits_.at(bits) * (kWidth - kLeft - kRight); }
  double y(double kl) const {
    return kHeight - kBottom - loss_.at(std::log10(kl)) * (kHeight - kTop - kBottom - 10);
  }

  std::string grid() const {
    std::string svg;
    for (int bits = static_cast<int>(std::ceil(bits_.low)); bits <= bits_.high; ++bits)
      svg +=
          fmt::format(R"svg(<path class="whisker" opacity=".25" d="M{0:.1f} {1:.0f}V{2:.0f}"/>)svg"
                      R"svg(<text x="{0:.1f}" y="{3:.0f}" text-anchor="middle">{4}</text>)svg",
                      x(bits), kTop + 10, kHeight - kBottom, kHeight - kBottom + 16, bits);
    for (int power = static_cast<int>(std::floor(loss_.low)); power <= loss_.high; ++power)
      for (const double step : {1.0, 2.0, 5.0}) {
        const double kl = step * std::pow(10.0, power);
        if (std::log10(kl) < loss_.low || std::log10(kl) > loss_.high) continue;
        svg += fmt::format(
            R"svg(<path class="whisker" opacity=".25" d="M{0:.0f} {1:.1f}H{2:.0f}"/>)svg"
            R"svg(<text x="{3:.0f}" y="{4:.1f}" text-anchor="end">{5}</text>)svg",
            kLeft, y(kl), kWidth - kRight, kLeft - 8, y(kl) + 4, figure(kl));
      }
    return svg + fmt::format(
                     R"svg(<text x="{:.0f}" y="{:.0f}" text-anchor="end">bits a weight</text>)svg",
                     kWidth - kRight, kHeight - 8);
  }

  std::string line(std::vector<const ReportRow*> rows, const char* mark) const {
    std::stable_sort(rows.begin(), rows.end(), [](const ReportRow* a, const ReportRow* b) {
      return a->bits_per_weight < b->bits_per_weight;
    });
    std::string path, marks;
    for (const ReportRow* row : rows) {
      const double at_x = x(row->bits_per_weight), at_y = y(*row->kl);
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x, at_y);
      marks += fmt::format(R"svg(<path class="bar" transform="translate({:.1f} {:.1f})" d="{}">)svg"
                           R"svg(<title>{}: {:.3f} bits, KL {}</title></path>)svg",
                           at_x, at_y, mark, escaped(row->label), row->bits_per_weight,
                           figure(*row->kl));
    }
    return fmt::format(R"svg(<path class="whisker" fill="none" d="{}"/>)svg", path) + marks;
  }

  std::map<std::string, std::vector<const ReportRow*>> series_;
  Axis bits_, loss_;
};

}  // namespace

std::string loss_against_size(const std::vector<ReportRow>& rows) {
  std::vector<const ReportRow*> points;
  for (const ReportRow& row : rows)
    if (drawn(row)) points.push_back(&row);
  return points.size() < 2 ? "" : Plot(points).draw();
}

}  // namespace halftone::report
