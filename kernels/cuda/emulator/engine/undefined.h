// Undefined behaviour: what the compiler's undefined-behaviour checks (checked build) call when they find some. The
// names and the layout of the data are the sanitizer's; all data begins with the place in the source.
#pragma once
#include "fibers.h"

namespace mg {
struct Place { const char* file; u32 line, column; };
struct Type { unsigned short kind, information; char name[]; };
static Site site(const Place* place) { return {place->file, (int)place->line}; }
}  // namespace mg

#define MG_UNDEFINED(name, what)                                                                     \
  extern "C" void __ubsan_handle_##name(mg::Place* place) {    \
    mg::fail(mg::site(place), "undefined behaviour: " what);                                         \
  }
MG_UNDEFINED(add_overflow, "an addition overflows")
MG_UNDEFINED(sub_overflow, "a subtraction overflows")
MG_UNDEFINED(mul_overflow, "a multiplication overflows")
MG_UNDEFINED(negate_overflow, "a negation overflows")
MG_UNDEFINED(divrem_overflow, "a division by zero, or one that overflows")
MG_UNDEFINED(shift_out_of_bounds, "a shift by a negative number, or by more bits than there are")
MG_UNDEFINED(pointer_overflow, "a pointer that leaves its array so far that its address wraps")
MG_UNDEFINED(load_invalid_value, "a bool or enum with a value that it cannot have")
MG_UNDEFINED(builtin_unreachable, "code that was declared unreachable")
MG_UNDEFINED(missing_return, "a function ends without returning a value")
MG_UNDEFINED(vla_bound_not_positive, "an array of no elements")
MG_UNDEFINED(float_cast_overflow, "a number that does not fit the integer type")
MG_UNDEFINED(invalid_builtin, "__builtin_clz or __builtin_ctz of 0")
#undef MG_UNDEFINED

extern "C" void __ubsan_handle_out_of_bounds(mg::Place* place, size_t index) {
  const auto* type = *(mg::Type* const*)(place + 1);
  mg::fail(mg::site(place), "undefined behaviour: index %td of %s", (ptrdiff_t)index, type->name);
}
extern "C" void __ubsan_handle_type_mismatch_v1(mg::Place* place, uintptr_t address) {
  struct Data { mg::Place place; const mg::Type* type; unsigned char log_alignment, kind; };
  const auto* data = (const Data*)place;
  if (!address)
    mg::fail(mg::site(place), "undefined behaviour: an access to %s through a null pointer", data->type->name);
  mg::fail(mg::site(place), "undefined behaviour: misaligned access: %s wants an address that is a multiple of %d",
           data->type->name, 1 << data->log_alignment);
}
