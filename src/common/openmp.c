#include "openmp.h"

#ifdef _OPENMP
#include <omp.h>
#endif

int wsk_openmp_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}
