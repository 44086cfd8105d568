// Included before a .cu file, which then compiles as C++; MG_EXPORT makes its kernels callable from Python.
#pragma once
#include "arithmetic.h"
#include "atomics.h"
#include "engine.h"
#include "instructions.h"
#include "language.h"
#include "warp.h"

namespace mg {

// The type of a parameter as NumPy writes it: "f4", "i4", "b1", of a pointer "*f4"; "?" for what Python cannot pass.
template <class T> constexpr const char* code = "?";
template <> inline constexpr const char* code<bool> = "b1";
template <> inline constexpr const char* code<char> = "i1";
template <> inline constexpr const char* code<signed char> = "i1";
template <> inline constexpr const char* code<unsigned char> = "u1";
template <> inline constexpr const char* code<short> = "i2";
template <> inline constexpr const char* code<unsigned short> = "u2";
template <> inline constexpr const char* code<int> = "i4";
template <> inline constexpr const char* code<unsigned int> = "u4";
template <> inline constexpr const char* code<long> = "i8";
template <> inline constexpr const char* code<unsigned long> = "u8";
template <> inline constexpr const char* code<long long> = "i8";
template <> inline constexpr const char* code<unsigned long long> = "u8";
template <> inline constexpr const char* code<float> = "f4";
template <> inline constexpr const char* code<double> = "f8";
template <> inline constexpr const char* code<TensorMap> = "V128";
template <class T> constexpr const char* code<const T> = code<T>;
template <class T> constexpr bool is_pointer = false;
template <class T> constexpr bool is_pointer<T*> = true;
template <class T> struct Pointee { typedef T type; };
template <class T> struct Pointee<T*> { typedef T type; };

// Parameter number `i` of a kernel; null past the last.
template <class... P>
const char* parameter(void (*)(P...), int i, bool* pointer) {
  const char* codes[] = {code<typename Pointee<P>::type>..., nullptr};
  const bool pointers[] = {is_pointer<P>..., false};
  *pointer = pointers[i];
  return codes[i];
}

template <class T> struct Value { typedef T type; };
template <class T> struct Value<const T> { typedef T type; };
template <int... I> struct Numbers {};

// Runs a kernel for one thread: unpacks the arguments.
// Not watched by the memory checker, for which arguments are none of the kernel's arrays.
template <auto kernel, class... P, int... I>
__attribute__((no_sanitize("thread"))) void call(void (*)(P...), Numbers<I...>, void* const* arguments) {
  kernel(*static_cast<typename Value<P>::type*>(arguments[I])...);
}
template <int count, class List = Numbers<>> struct Range;
template <int count, int... I> struct Range<count, Numbers<I...>> : Range<count - 1, Numbers<count - 1, I...>> {};
template <int... I> struct Range<0, Numbers<I...>> { typedef Numbers<I...> type; };
template <class... P> typename Range<sizeof...(P)>::type numbers(void (*)(P...)) { return {}; }

template <auto kernel>
void thread(void* const* arguments) { call<kernel>(kernel, numbers(kernel), arguments); }

}  // namespace mg

// build.py says whether this is the checked build.
#ifndef MG_CHECKED
#define MG_CHECKED false
#endif
#define MG_EXPORT(number, ...)                                                                                   \
  extern "C" __attribute__((visibility("default"))) int mg_launch_##number(const mg::Launch* launch,             \
                                                                          void* const* arguments) {             \
    return mg::run(launch, &mg::thread<&__VA_ARGS__>, arguments, MG_CHECKED);                                    \
  }                                                                                                              \
  extern "C" __attribute__((visibility("default"))) const char* mg_parameter_##number(int i, bool* pointer) {    \
    return mg::parameter(&__VA_ARGS__, i, pointer);                                                              \
  }
