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

// Where quantized modules must share a grid: parts that runtimes fuse take the most bits and the
// smallest groups among theirs, a whole model what most of its weights have; with zeros when any
// has them. Parts of which some stay dense are left as they are. Throws Error(usage) as
// format.grid does.
void align_grids(const Format& format, std::span<PlannedModule> modules);

}  // namespace halftone
