/* The deeds of tapes at SIMD level base. */
#define PE_DO_DEEDS pe_do_deeds_base
#include "replay.h"
