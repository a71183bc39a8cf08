/* A byte stream to an NBD server: a connected socket, perhaps with TLS by libgnutls, which is loaded when it is needed.
 * Nothing here waits: -EAGAIN says that it would. No Python here. */
#ifndef BLOCKDIFF_NBDLINK_H
#define BLOCKDIFF_NBDLINK_H

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of gnutls/gnutls.h; its ABI (libgnutls.so.30) stands since 3.4. */
typedef struct { unsigned char *data; unsigned int size; } bd_datum;
enum { GNUTLS_CLIENT_ = 1 << 1, GNUTLS_NONBLOCK_ = 1 << 3, GNUTLS_NO_SIGNAL_ = 1 << 6 };
enum { GNUTLS_CRD_CERTIFICATE_ = 1, GNUTLS_CRD_PSK_ = 4, GNUTLS_PSK_KEY_RAW_ = 0, GNUTLS_X509_FMT_PEM_ = 1 };
enum { GNUTLS_NAME_DNS_ = 1, GNUTLS_CRT_X509_ = 1 };
enum { GNUTLS_E_AGAIN_ = -28, GNUTLS_E_INTERRUPTED_ = -52, GNUTLS_E_PUSH_ = -53, GNUTLS_E_PULL_ = -54, GNUTLS_E_PREMATURE_ = -110 };

#define BD_GNUTLS_FUNCTIONS(X) \
    X(int, gnutls_init, (void **, unsigned)) \
    X(void, gnutls_deinit, (void *)) \
    X(int, gnutls_priority_set_direct, (void *, const char *, const char **)) \
    X(int, gnutls_set_default_priority, (void *)) \
    X(int, gnutls_credentials_set, (void *, int, void *)) \
    X(int, gnutls_server_name_set, (void *, int, const void *, size_t)) \
    X(void, gnutls_session_set_verify_cert, (void *, const char *, unsigned)) \
    X(unsigned, gnutls_session_get_verify_cert_status, (void *)) \
    X(int, gnutls_certificate_verification_status_print, (unsigned, int, bd_datum *, unsigned)) \
    X(void, gnutls_transport_set_int2, (void *, int, int)) \
    X(int, gnutls_handshake, (void *)) \
    X(ssize_t, gnutls_record_send, (void *, const void *, size_t)) \
    X(ssize_t, gnutls_record_recv, (void *, void *, size_t)) \
    X(int, gnutls_error_is_fatal, (int)) \
    X(const char *, gnutls_strerror, (int)) \
    X(int, gnutls_certificate_allocate_credentials, (void **)) \
    X(void, gnutls_certificate_free_credentials, (void *)) \
    X(int, gnutls_certificate_set_x509_trust_file, (void *, const char *, int)) \
    X(int, gnutls_certificate_set_x509_system_trust, (void *)) \
    X(int, gnutls_certificate_set_x509_key_file, (void *, const char *, const char *, int)) \
    X(int, gnutls_psk_allocate_client_credentials, (void **)) \
    X(void, gnutls_psk_free_client_credentials, (void *)) \
    X(int, gnutls_psk_set_client_credentials, (void *, const char *, const bd_datum *, int)) \
    X(char *, gnutls_session_get_desc, (void *))

#define BD_GNUTLS_MEMBER(type, name, arguments) type (*name) arguments;
static struct {
    void *library;
    BD_GNUTLS_FUNCTIONS(BD_GNUTLS_MEMBER)
    void (**gnutls_free)(void *);
} tls;

/* 0, or -1 with what is missing in why. The caller holds the GIL. */
static int bd_tls_load(const char *library, char *why, size_t size)
{
    if (tls.library)
        return 0;
    void *found = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!found) {
        snprintf(why, size, "%s", dlerror());
        return -1;
    }
#define BD_GNUTLS_FIND(type, name, arguments) \
    if (!(*(void **)&tls.name = dlsym(found, #name))) { \
        snprintf(why, size, "it lacks " #name); \
        return -1; \
    }
    BD_GNUTLS_FUNCTIONS(BD_GNUTLS_FIND)
    *(void **)&tls.gnutls_free = dlsym(found, "gnutls_free");
    tls.library = found;
    return 0;
}

typedef struct bd_link {
    int fd;
    void *session, *cert, *psk;       /* of gnutls, or NULL */
    int held;                         /* gnutls has a record that is not all sent: the next call goes on with it */
    char why[256];                    /* what gnutls said about the last trouble */
    struct bd_link *next;
} bd_link;

static bd_link *bd_link_new(int fd)
{
    bd_link *l = (bd_link *)calloc(1, sizeof *l);
    if (l)
        l->fd = fd;
    return l;
}

static void bd_link_free(bd_link *l)
{
    if (!l)
        return;
    if (l->session)
        tls.gnutls_deinit(l->session);
    if (l->cert)
        tls.gnutls_certificate_free_credentials(l->cert);
    if (l->psk)
        tls.gnutls_psk_free_client_credentials(l->psk);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

/* gnutls' code as a negative errno. */
static int bd_tls_failed(bd_link *l, int code)
{
    if (code == GNUTLS_E_AGAIN_ || code == GNUTLS_E_INTERRUPTED_ || !tls.gnutls_error_is_fatal(code))
        return -EAGAIN;
    int lost = code == GNUTLS_E_PREMATURE_ || code == GNUTLS_E_PUSH_ || code == GNUTLS_E_PULL_;
    snprintf(l->why, sizeof l->why, "%s", lost ? "the server closed the connection" : tls.gnutls_strerror(code));
    return lost ? -ECONNRESET : -EPROTO;
}

/* The bytes sent (1 or more), -EAGAIN or another -errno. */
static ssize_t bd_link_send(bd_link *l, const struct iovec *iov, int n)
{
    if (l->session) {
        size_t part = iov->iov_len < 16384 ? iov->iov_len : 16384;
        ssize_t done = tls.gnutls_record_send(l->session, iov->iov_base, part);
        l->held = done < 0;
        return done < 0 ? bd_tls_failed(l, (int)done) : done;
    }
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = (struct iovec *)iov;
    message.msg_iovlen = (size_t)n;
    for (;;) {
        ssize_t done = sendmsg(l->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done >= 0)
            return done;
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : errno == EPIPE ? -ECONNRESET : -errno;
    }
}

/* The bytes received, 0 where the stream ended, -EAGAIN or another -errno. With TLS only the first buffer is filled. */
static ssize_t bd_link_recv(bd_link *l, struct iovec *iov, int n)
{
    if (l->session) {
        ssize_t done = tls.gnutls_record_recv(l->session, iov->iov_base, iov->iov_len);
        return done < 0 ? bd_tls_failed(l, (int)done) : done;
    }
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = iov;
    message.msg_iovlen = (size_t)n;
    for (;;) {
        ssize_t done = recvmsg(l->fd, &message, MSG_DONTWAIT);
        if (done >= 0)
            return done;
        if (errno != EINTR)
            return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
}

/* One step of a handshake: 0 done, -EAGAIN, or another -errno with the reason in why. */
static int bd_link_handshake(bd_link *l)
{
    int rc = tls.gnutls_handshake(l->session);
    if (rc >= 0)
        return 0;
    int code = bd_tls_failed(l, rc);
    if (code == -EAGAIN || !l->cert)
        return code;
    unsigned status = tls.gnutls_session_get_verify_cert_status(l->session);
    bd_datum text = {NULL, 0};
    if (status != 0 && status != ~0u &&
        tls.gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509_, &text, 0) >= 0) {
        snprintf(l->why, sizeof l->why, "%.*s", (int)text.size, (const char *)text.data);
        if (tls.gnutls_free)
            (*tls.gnutls_free)(text.data);
        return -EACCES;
    }
    return code;
}

#endif
