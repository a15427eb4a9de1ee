#define LEVEL avx512
#define LEVEL_CODE 2
#include "copy_words.h"
