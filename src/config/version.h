/* version.h: which YAML library is in use. */
#ifndef CONFIG_VERSION_H
#define CONFIG_VERSION_H

/* "0.7.12", of the library that was loaded, not of the header. */
const char *config_library_version(void);

#endif
