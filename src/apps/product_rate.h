// The rates that this machine reaches, measured: the ceilings that speeds are held to.
#pragma once

#include "backend/backend.h"

namespace halftone {

// Operations a second of the backend's dense products of `type` (2·m·n·k each): the best over
// growing sizes, until growing gains nothing or a product takes long. About a second in all.
double measure_product_rate(Backend& backend, DType type);

// Of multiply_add(): products in f32, which factors and solving are made of.
double measure_f32_product_rate(Backend& backend);

// Bytes a second, read and written, of a copy within the device; and of one from the host to it.
double measure_copy_rate(Backend& backend);
double measure_upload_rate(Backend& backend);

// Whether operations return before they are done.
bool works_behind(Backend& backend);

}  // namespace halftone
