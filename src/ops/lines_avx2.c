/* The arithmetic of lines.h at SIMD level avx2. */
#define WSK_LINE_MATH wsk_line_math_avx2
#include "lines_math.h"
