# cython: language_level=3
"""Status codes and SIMD level, shared by all kernels."""
import os

from libc.stdint cimport uint16_t

from wsekern.halves cimport wsk_floats_to_halves, wsk_halves_to_floats
from wsekern.wsekern_simd cimport wsk_simd_supported
from wsekern.wsekern_status cimport wsk_status_code, wsk_status_count, wsk_status_name, wsk_status_text

_LEVELS = ("base", "avx2", "avx512")
cdef int _level = -1                    # not chosen yet


def _choose_level():
    from wsekern.errors import InputError

    supported = wsk_simd_supported()
    wanted = os.environ.get("WSEKERN_SIMD")
    if not wanted:
        return supported
    if wanted not in _LEVELS:
        raise InputError(f"WSEKERN_SIMD={wanted!r} is not a SIMD level; use one of: {', '.join(_LEVELS)}")
    if _LEVELS.index(wanted) > supported:
        raise InputError(f"WSEKERN_SIMD={wanted} is not supported by this CPU; the highest level here is {_LEVELS[supported]}")
    return _LEVELS.index(wanted)


cpdef int simd_level_code() except -1:
    global _level
    if _level < 0:
        _level = _choose_level()
    return _level


def simd_level() -> str:
    """Name of the SIMD level in force: ``base``, ``avx2`` or ``avx512`` (set with ``WSEKERN_SIMD``; unforced, tile products at
    ``avx512`` also use AVX512-FP16 where the CPU has it)."""
    return _LEVELS[simd_level_code()]


def simd_forced() -> bool:
    """Whether ``WSEKERN_SIMD`` names the level; unforced, a kernel may use more of the CPU than the level's own sets."""
    return bool(os.environ.get("WSEKERN_SIMD"))


def halves_to_floats(const uint16_t[::1] source, float[::1] out) -> None:
    """fp16, as 16-bit words, to fp32; as many of both."""
    cdef int level = simd_level_code()
    if source.shape[0]:
        with nogil:
            wsk_halves_to_floats(&source[0], &out[0], source.shape[0], level)


def floats_to_halves(const float[::1] source, uint16_t[::1] out) -> bool:
    """fp32 to fp16, rounded to nearest even, as 16-bit words, as many of both; whether all of these are finite."""
    cdef int level = simd_level_code(), finite = 1
    if source.shape[0]:
        with nogil:
            finite = wsk_floats_to_halves(&source[0], &out[0], source.shape[0], level)
    return bool(finite)


def status_table() -> dict[int, tuple[str, str]]:
    """Every status code of the C kernels: ``{code: (name, sentence)}``."""
    codes = [wsk_status_code(i) for i in range(wsk_status_count())]
    return {code: (wsk_status_name(code).decode(), wsk_status_text(code).decode()) for code in codes}
