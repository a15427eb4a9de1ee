/* The phases of a cycle for CPUs with AVX2: all that they do in one unit, so that the compiler sees through it. */
#define LEVEL avx2
#define LEVEL_CODE 1
#include "queue.c"
#include "deliver.c"
#include "flight.c"
#include "lone.c"
#include "depart.c"
#include "depart_plain.c"
#include "arrive.c"
#include "step.c"
