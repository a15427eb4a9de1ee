/* The deeds of tapes at SIMD level avx512. */
#define PE_DO_DEEDS pe_do_deeds_avx512
#include "replay.h"
