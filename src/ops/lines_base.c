/* The arithmetic of lines.h at SIMD level base. */
#define WSK_LINE_MATH wsk_line_math_base
#include "lines_math.h"
