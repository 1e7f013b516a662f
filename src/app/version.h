/* version.h: what `unlade --version` prints. */
#ifndef APP_VERSION_H
#define APP_VERSION_H

/* The version, the libraries in use, and what they bring, on stdout. */
void version_print(void);

#endif
