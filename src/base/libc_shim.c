/* libc_shim.c: what a static OpenSSL from a newer Debian wants and an older C library lacks.
 *
 * Headers of glibc 2.38 and newer turn strtol() into __isoc23_strtol(), which also reads C23's binary "0b" prefix.
 * OpenSSL uses it for numbers in its configuration file and in names, where that prefix means nothing. The build links
 * this file only where the C library has no such symbol (meson.build). */
#include <stdlib.h>

long __isoc23_strtol(const char *restrict text, char **restrict ret_end, int base);

long __isoc23_strtol(const char *restrict text, char **restrict ret_end, int base)
{
    return strtol(text, ret_end, base);
}
