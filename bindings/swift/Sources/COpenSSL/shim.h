// What Swift cannot see of OpenSSL's headers: macros and functions with a variable number of
// arguments.

#ifndef NFCWALLET_COPENSSL_SHIM_H
#define NFCWALLET_COPENSSL_SHIM_H

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

// A new key on the curve P-256, or NULL.
static inline EVP_PKEY *nfcwallet_new_p256_key(void) {
    return EVP_EC_gen("P-256");
}

// The public key of `key` in the uncompressed form of SEC 1; its length, or 0.
static inline size_t nfcwallet_public_key(const EVP_PKEY *key, unsigned char *bytes, size_t limit) {
    size_t length = 0;
    int ok = EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, bytes, limit, &length);
    return ok == 1 ? length : 0;
}

#endif
