#include "app/version.h"

#include <stdio.h>

#include "base/check.h"
#include "config/version.h"
#include "tls/multi_buffer.h"
#include "tls/session.h"

struct feature {
    const char *group, *what;
};

void version_print(void)
{
    static const struct feature features[] = {
        { "X25519MLKEM768", "post-quantum key exchange (X25519MLKEM768)" },
        { "X25519", "X25519" },
    };

    printf("unlade " UNLADE_VERSION "\n%s\n", tls_library_version());
    for (size_t i = 0; i < COUNT_OF(features); i++)
        printf("  %s: %s\n", features[i].what, tls_library_has_group(features[i].group) ? "yes" : "no");
    printf("  eight handshakes at a time (crypto_mb, AVX-512 IFMA): %s%s\n",
           multi_buffer() ? "yes" : "no: ", multi_buffer() ? "" : multi_buffer_absence());
    printf("libfyaml %s\n", config_library_version());
}
