// Linears that serving runtimes fuse into one: they ask configurations for the fused name, and
// their parts must have the same grid.
#pragma once

#include <set>
#include <span>
#include <string>

#include "format/format.h"

namespace halftone {

// `modules` and the fused names ("model.layers.0.self_attn.qkv_proj") of which all parts are among
// them.
std::set<std::string> with_fused_names(std::set<std::string> modules);

// Throws Error(usage) naming two modules that vLLM and SGLang fuse and whose grids differ, or of
// which one is quantized and the other not.
void check_fused(std::span<const PlannedModule> modules);

// Gives quantized modules that must share a grid the one of theirs that has the most bits, then the
// smallest groups, then zeros. (Parts of which some stay dense are left as they are.)
void align_grids(GridScope scope, std::span<PlannedModule> modules);

}  // namespace halftone
