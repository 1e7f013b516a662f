#include "tls/multi_buffer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

/* Found beside the program, where `./do install` puts it (the program says so: DT_RUNPATH), or where the system has it. The number
 * is that of the interface. */
static const char file[] = "libcrypto_mb.so.11";

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define FUNCTION(name) \
    { \
        "mbx_" #name, offsetof(struct multi_buffer, name) \
    }
    FUNCTION(x25519_public_key_mb8),
    FUNCTION(x25519_mb8),
    FUNCTION(nistp256_ecdsa_sign_setup_mb8),
    FUNCTION(nistp256_ecdsa_sign_complete_mb8),
    FUNCTION(RSA_private_crt_Method),
    FUNCTION(RSA_pub65537_Method),
    FUNCTION(RSA_Method_BufSize),
    FUNCTION(rsa_private_crt_mb8),
    FUNCTION(rsa_public_mb8),
#undef FUNCTION
};

static struct multi_buffer found;
static const char *absence = "not looked for";
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What dlsym() gives is a data pointer; it is a function's all the same. */
static bool find(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);

    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void load(void)
{
    int (*is_applicable)(unsigned long long features) = NULL;
    void *library;

#ifndef __x86_64__
    absence = "it is for x86-64 alone";
    return;
#endif
    library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        absence = "libcrypto_mb.so.11 is not there";
        return;
    }
    absence = "libcrypto_mb.so.11 lacks a function";
    if (!find(library, "mbx_is_crypto_mb_applicable", &is_applicable))
        goto failed;
    if (!is_applicable(0)) {
        absence = "the processor has no AVX-512 IFMA";
        goto failed;
    }
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        if (!find(library, functions[i].name, (char *)&found + functions[i].at))
            goto failed;
    absence = NULL;
    return;
failed:
    dlclose(library);
}

const struct multi_buffer *multi_buffer(void)
{
    CHECK(pthread_once(&once, load) == 0);
    return absence ? NULL : &found;
}

const char *multi_buffer_absence(void)
{
    (void)multi_buffer();
    return absence;
}
