// Atomic operations. Only one thread runs at a time, so a load and a store are one; the engine makes them, lest the
// memory checker take them for plain accesses.
#pragma once
#include "engine.h"

namespace mg {
template <class T> struct Same { typedef T type; };  // a parameter that takes no part in deduction

template <class T, class Change>
inline T atomically(Site site, T* p, Change change) {
  touch_atomic(site, p, sizeof(T));
  T before;
  copy(&before, p, sizeof(T));
  const T after = change(before);
  copy(p, &after, sizeof(T));
  return before;
}
}  // namespace mg

#define MG_ATOMIC(name, ...)                                                                                \
  template <class T>                                                                                        \
  inline T name(T* p, typename mg::Same<T>::type value, mg::Site site = mg::Site::here()) {                 \
    return mg::atomically(site, p, [value](T old) -> T { return __VA_ARGS__; });                            \
  }
MG_ATOMIC(atomicAdd, old + value)
MG_ATOMIC(atomicSub, old - value)
MG_ATOMIC(atomicExch, ((void)old, value))
MG_ATOMIC(atomicMin, value < old ? value : old)
MG_ATOMIC(atomicMax, old < value ? value : old)
MG_ATOMIC(atomicAnd, old & value)
MG_ATOMIC(atomicOr, old | value)
MG_ATOMIC(atomicXor, old ^ value)
MG_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef MG_ATOMIC
template <class T>
inline T atomicCAS(T* p, typename mg::Same<T>::type expected, typename mg::Same<T>::type value,
                   mg::Site site = mg::Site::here()) {
  return mg::atomically(site, p, [=](T old) { return old == expected ? value : old; });
}

inline void __threadfence() { mg::fence(); }
inline void __threadfence_block() {}
