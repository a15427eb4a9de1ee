#define LEVEL avx2
#define LEVEL_CODE 1
#include "copy_words.h"
