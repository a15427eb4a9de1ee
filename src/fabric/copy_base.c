#define LEVEL base
#define LEVEL_CODE 0
#include "copy_words.h"
