#pragma once
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Function-like macros that Swift cannot import. */
static inline long dray_SSL_CTX_set_min_proto_version(SSL_CTX *c, int v) { return SSL_CTX_set_min_proto_version(c, v); }
static inline long dray_SSL_CTX_set_max_proto_version(SSL_CTX *c, int v) { return SSL_CTX_set_max_proto_version(c, v); }
static inline long dray_SSL_CTX_set_mode(SSL_CTX *c, long m) { return SSL_CTX_set_mode(c, m); }
static inline long dray_SSL_set_tlsext_host_name(SSL *s, const char *n) { return SSL_set_tlsext_host_name(s, n); }
static inline long dray_SSL_CTX_set_session_cache_mode(SSL_CTX *c, long m) { return SSL_CTX_set_session_cache_mode(c, m); }
static inline void dray_SSL_CTX_set_read_ahead(SSL_CTX *c, int on) { SSL_CTX_set_read_ahead(c, on); }
static inline EVP_PKEY *dray_EVP_EC_gen(const char *curve) { return EVP_EC_gen(curve); }
static inline long dray_BIO_get_mem_data(BIO *b, char **p) { return BIO_get_mem_data(b, p); }
static inline int dray_BIO_reset(BIO *b) { return BIO_reset(b); }
static inline void dray_BIO_set_retry_read(BIO *b) { BIO_set_retry_read(b); }
static inline void dray_BIO_clear_retry_flags(BIO *b) { BIO_clear_retry_flags(b); }
static inline int dray_ERR_GET_REASON(unsigned long e) { return ERR_GET_REASON(e); }
static inline int dray_ERR_GET_LIB(unsigned long e) { return ERR_GET_LIB(e); }
static inline unsigned long dray_XN_FLAG_RFC2253(void) { return XN_FLAG_RFC2253; }
