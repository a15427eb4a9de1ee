/* All of libwsekern: the wavelet fabric and the PE cores of a simulated wafer, stepped by a host in C, C++ or what calls C. */
#ifndef WSEKERN_H
#define WSEKERN_H

#include "wsekern_connect.h"
#include "wsekern_fabric.h"
#include "wsekern_program.h"
#include "wsekern_simd.h"
#include "wsekern_status.h"

#endif
