/* The deeds of tapes at SIMD level avx2. */
#define PE_DO_DEEDS pe_do_deeds_avx2
#include "replay.h"
