/* Python as a thread-sanitized program (preloading libtsan into an ordinary python crashes at start):
 * gcc -fsanitize=thread sanitized_python.c $(python3-config --includes --embed --ldflags) -o sanitized_python */
#include <Python.h>

int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
