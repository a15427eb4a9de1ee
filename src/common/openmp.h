/* The runtime library of OpenMP, loaded with the first kernel: it reads its environment then, and only then. */
#ifndef WSEKERN_OPENMP_H
#define WSEKERN_OPENMP_H

/* Threads that a region has where nobody says how many; 1 without OpenMP. */
int wsk_openmp_threads(void);

#endif
