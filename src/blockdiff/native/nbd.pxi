# A connection to an NBD server, and an export over several.

cdef extern from "nbdio.h" nogil:
    ctypedef struct bd_extent:
        pass
    ctypedef struct bd_vec:
        bd_extent *items
        size_t n
    void bd_free(bd_vec *v)
    const char *BD_VEC_NAME
    ctypedef struct bd_driver:
        int64_t size
    const char *BD_DRIVER_NAME
    ctypedef struct bd_datum:
        unsigned char *data
        unsigned int size
    struct iovec:
        void *iov_base
        size_t iov_len
    ctypedef struct bd_link:
        int fd
        void *session
        void *cert
        void *psk
        char why[256]
    ctypedef int (*bd_nbd_reopen)(void *self, bd_link **link) noexcept nogil
    ctypedef struct bd_nbd:
        bd_driver driver
        int count
        int broken
        int resumed
        char why[512]
        char said[256]
        int said_errno
        bd_nbd_reopen reopen
        void *self
        int structured, extended
        unsigned flags
        int64_t block, piece, size
        int limit_ms, near
    ctypedef struct bd_token:
        pass
    enum:
        GNUTLS_CLIENT_, GNUTLS_NONBLOCK_, GNUTLS_NO_SIGNAL_, GNUTLS_CRD_CERTIFICATE_, GNUTLS_CRD_PSK_
        GNUTLS_PSK_KEY_RAW_, GNUTLS_X509_FMT_PEM_, GNUTLS_NAME_DNS_
    int bd_tls_load(const char *library, char *why, size_t size)
    bd_link *bd_link_new(int fd)
    void bd_link_free(bd_link *l)
    ssize_t bd_link_send(bd_link *l, const iovec *iov, int n)
    ssize_t bd_link_recv(bd_link *l, iovec *iov, int n)
    int bd_link_handshake(bd_link *l)
    bd_nbd *bd_nbd_new()
    int bd_nbd_adopt(bd_nbd *b, bd_link *link)
    void bd_nbd_close(bd_nbd *b)
    void bd_nbd_free(bd_nbd *b)
    void bd_nbd_break(bd_nbd *b, int code, const char *why)
    void *bd_nbd_read(void *device, unsigned char *buf, int64_t offset, int64_t length, int *err)
    void *bd_nbd_write(void *device, const unsigned char *buf, int64_t offset, int64_t length, int *err)
    void *bd_nbd_zero_with(void *device, int64_t offset, int64_t length, int flags, int *err)
    void *bd_nbd_trim(bd_nbd *b, int64_t offset, int64_t length, int *err)
    void *bd_nbd_flush(bd_nbd *b, int *err)
    void *bd_nbd_status(bd_nbd *b, uint32_t context, int mode, int64_t offset, int64_t length, bd_vec *out,
                        int64_t *end, int *err)
    int bd_token_step(bd_nbd *b, bd_token *t, int ms, volatile int *cancel, int *result)
    void bd_token_free(bd_token *t)

cdef extern from "poll.h" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long n, int timeout)
    enum:
        POLLIN, POLLOUT

cdef extern from *:
    """
    #define BD_TLS(name) tls.name
    """
    int gnutls_init "BD_TLS(gnutls_init)" (void **session, unsigned flags)
    int gnutls_priority_set_direct "BD_TLS(gnutls_priority_set_direct)" (void *session, const char *text, const char **at)
    int gnutls_credentials_set "BD_TLS(gnutls_credentials_set)" (void *session, int kind, void *credentials)
    int gnutls_server_name_set "BD_TLS(gnutls_server_name_set)" (void *session, int kind, const void *name, size_t n)
    void gnutls_session_set_verify_cert "BD_TLS(gnutls_session_set_verify_cert)" (void *session, const char *name, unsigned flags)
    void gnutls_transport_set_int2 "BD_TLS(gnutls_transport_set_int2)" (void *session, int r, int w)
    const char *gnutls_strerror "BD_TLS(gnutls_strerror)" (int code)
    int gnutls_certificate_allocate_credentials "BD_TLS(gnutls_certificate_allocate_credentials)" (void **c)
    int gnutls_certificate_set_x509_trust_file "BD_TLS(gnutls_certificate_set_x509_trust_file)" (void *c, const char *f, int k)
    int gnutls_certificate_set_x509_system_trust "BD_TLS(gnutls_certificate_set_x509_system_trust)" (void *c)
    int gnutls_certificate_set_x509_key_file "BD_TLS(gnutls_certificate_set_x509_key_file)" (void *c, const char *f, const char *k, int t)
    int gnutls_psk_allocate_client_credentials "BD_TLS(gnutls_psk_allocate_client_credentials)" (void **c)
    int gnutls_psk_set_client_credentials "BD_TLS(gnutls_psk_set_client_credentials)" (void *c, const char *user, const bd_datum *key, int f)

TLS_LIBRARY = "libgnutls.so.30"
ALLOCATION, BITMAP, RAW = 0, 1, 2
NO_HOLE = 2
DEF SLICE = 100


class NbdError(Exception):
    """``errno``, and in words what the server or the connection said (or nothing)."""

    def __init__(self, int errno, str text=""):
        super().__init__(errno, text)
        self.errno, self.text = errno, text


class TlsMissing(Exception):
    """libgnutls cannot be loaded: the argument says why."""


cdef object text_of(const char *text):
    """A server's words, without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in (<bytes>text).decode("utf-8", "replace"))


@cython.no_gc  # it can be in no cycle of its own
cdef class Link:
    """A connected stream socket, whose descriptor it takes over: bytes both ways, perhaps by TLS. Raises NbdError.

    ``limit`` (seconds) is how long the other side may be silent. It is used up when a Session takes it.
    """
    cdef bd_link *link
    cdef double seconds

    def __cinit__(self, int fd, *, double limit):
        self.link = bd_link_new(fd)
        if self.link == NULL:
            raise MemoryError()
        self.seconds = limit

    def __dealloc__(self):
        bd_link_free(self.link)

    def close(self):
        bd_link_free(self.link)
        self.link = NULL

    def limit(self, double seconds):
        """How long the other side may be silent from now on."""
        self.seconds = seconds

    cdef bd_link *_open(self) except NULL:
        if self.link == NULL:
            raise NbdError(errno_names.EBADF, "it is closed")
        return self.link

    cdef int _ready(self, short events, double *left) except -1:
        """Waits for the socket; signals get through."""
        cdef pollfd fds
        cdef int n
        fds.fd, fds.events, fds.revents = self._open().fd, events, 0
        while left[0] > 0:
            with nogil:
                n = poll(&fds, 1, SLICE)
            PyErr_CheckSignals()
            if n > 0:
                return 0
            left[0] -= SLICE / 1000.0
        raise NbdError(errno_names.ETIMEDOUT, f"the server did not answer within {self.seconds:g} s")

    cdef int _failed(self, ssize_t code) except -1:
        raise NbdError(-code, text_of(self.link.why).strip().rstrip("."))

    def send(self, bytes data not None):
        """All of it."""
        cdef iovec iov
        cdef ssize_t done
        cdef double left = self.seconds
        iov.iov_base, iov.iov_len = <char *>data, len(data)
        while iov.iov_len:
            done = bd_link_send(self._open(), &iov, 1)
            if done == -errno_names.EAGAIN:
                self._ready(POLLOUT, &left)
            elif done < 0:
                self._failed(done)
            else:
                iov.iov_base = <char *>iov.iov_base + done
                iov.iov_len -= done

    def recv(self, size_t length):
        """Exactly so many bytes."""
        cdef bytes data = PyBytes_FromStringAndSize(NULL, length)
        cdef iovec iov
        cdef ssize_t done
        cdef double left = self.seconds
        iov.iov_base, iov.iov_len = <char *>data, length
        while iov.iov_len:
            done = bd_link_recv(self._open(), &iov, 1)
            if done == -errno_names.EAGAIN:
                self._ready(POLLIN, &left)
            elif done == 0:
                raise NbdError(errno_names.ECONNRESET, "the server closed the connection")
            elif done < 0:
                self._failed(done)
            else:
                iov.iov_base = <char *>iov.iov_base + done
                iov.iov_len -= done
        return data

    def start_tls(self, *, str host="", str ca="", str cert="", str key="", str user="", bytes psk=b"", str library=TLS_LIBRARY):
        """Everything from now on is encrypted. With ``psk`` both sides know that key; else the server's certificate must
        be for ``host`` and of the authority in the file ``ca`` (none: one of the system's). Raises TlsMissing, NbdError.
        """
        cdef bd_link *l = self._open()
        cdef char why[512]
        cdef bytes name = library.encode(), host_ = host.encode(), ca_ = os_fsencode(ca), cert_ = os_fsencode(cert)
        cdef bytes key_ = os_fsencode(key), user_ = user.encode()
        cdef bd_datum secret
        if bd_tls_load(name, why, sizeof(why)) < 0:
            raise TlsMissing(text_of(why))
        self._tls(gnutls_init(&l.session, GNUTLS_CLIENT_ | GNUTLS_NONBLOCK_ | GNUTLS_NO_SIGNAL_), "cannot begin TLS")
        priority = b"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
        if psk:
            # of TLS 1.3 such a key takes only ciphers with SHA-256: without this, the slow one of them
            priority += b":-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK:-CHACHA20-POLY1305:+CHACHA20-POLY1305"
        self._tls(gnutls_priority_set_direct(l.session, priority, NULL), "cannot begin TLS")
        if psk:
            secret.data, secret.size = <unsigned char *><char *>psk, len(psk)
            self._tls(gnutls_psk_allocate_client_credentials(&l.psk), "cannot begin TLS")
            self._tls(gnutls_psk_set_client_credentials(l.psk, user_, &secret, GNUTLS_PSK_KEY_RAW_), "cannot use the key")
            self._tls(gnutls_credentials_set(l.session, GNUTLS_CRD_PSK_, l.psk), "cannot use the key")
        else:
            self._tls(gnutls_certificate_allocate_credentials(&l.cert), "cannot begin TLS")
            if ca:
                self._tls(gnutls_certificate_set_x509_trust_file(l.cert, ca_, GNUTLS_X509_FMT_PEM_), f"cannot use {ca}")
            else:
                self._tls(gnutls_certificate_set_x509_system_trust(l.cert), "cannot use the system's authorities")
            if cert:
                self._tls(gnutls_certificate_set_x509_key_file(l.cert, cert_, key_, GNUTLS_X509_FMT_PEM_),
                          f"cannot use {cert} and {key}")
            self._tls(gnutls_credentials_set(l.session, GNUTLS_CRD_CERTIFICATE_, l.cert), "cannot begin TLS")
            gnutls_session_set_verify_cert(l.session, host_, 0)
            if not is_address(host):
                self._tls(gnutls_server_name_set(l.session, GNUTLS_NAME_DNS_, <char *>host_, len(host_)), "cannot begin TLS")
        gnutls_transport_set_int2(l.session, l.fd, l.fd)
        self._handshake()

    cdef int _handshake(self) except -1:
        cdef int rc
        cdef double left = self.seconds
        while True:
            with nogil:
                rc = bd_link_handshake(self.link)
            if rc == 0:
                return 0
            if rc != -errno_names.EAGAIN:
                self._failed(rc)
            self._ready(POLLIN, &left)

    cdef int _tls(self, int code, str what) except -1:
        if code < 0:
            raise NbdError(errno_names.EPROTO, f"{what}: {text_of(gnutls_strerror(code))}")
        return 0

    cdef bd_link *take(self) except NULL:
        cdef bd_link *l = self._open()
        self.link = NULL
        return l


cdef object os_fsencode(str path):
    import os

    return os.fsencode(path)


cdef bint is_address(str host):
    return ":" in host or host.replace(".", "").isdigit()


cdef int reopened(void *self, bd_link **link) noexcept with gil:
    """Called by whoever waits for an export without a connection."""
    cdef Session session = <Session>self
    cdef Link made
    try:
        made = session.again()
        link[0] = made.take()
        return 0
    except NbdError as error:
        session.tell(str(error.text))
        return -error.errno
    except BaseException as error:
        session.failure = error
        session.tell(str(error))
        return -errno_names.ECANCELED


cdef void forget_session(object capsule) noexcept:
    cdef void *session = PyCapsule_GetContext(capsule)
    if session != NULL:
        Py_DECREF(<object>session)


cdef void free_vector(object capsule) noexcept:
    cdef bd_vec *held = <bd_vec *>PyCapsule_GetPointer(capsule, BD_VEC_NAME)
    bd_free(held)
    free(held)


cdef object packed(bd_vec *v):
    """A capsule that takes the vector over."""
    cdef bd_vec *held = <bd_vec *>malloc(sizeof(bd_vec))
    if held == NULL:
        raise MemoryError()
    held[0] = v[0]
    memset(v, 0, sizeof(v[0]))
    return PyCapsule_New(held, BD_VEC_NAME, free_vector)


@cython.no_gc_clear
@cython.no_gc  # the collector would take away what __dealloc__ goes by
cdef class Session:
    """An export over the connections that it was given, in the transmission phase. Any thread may use it.

    ``again()`` gives a Link to the same export when none is left; NbdError(EAGAIN) from it means to try once more.
    ``block`` is the smallest block, ``piece`` the largest payload of a request. ``near``:
    the server is on this machine; each thread keeps to a connection, and small reads are sent together. Raises NbdError.
    """
    cdef bd_nbd *nbd
    cdef object again
    cdef object failure
    cdef bint shut
    cdef readonly str told

    def __cinit__(self, list links not None, *, again, int64_t size, unsigned flags, bint structured, bint extended,
                  int64_t block, int64_t piece, double limit, bint near=False):
        self.nbd = bd_nbd_new()
        if self.nbd == NULL:
            raise MemoryError()
        self.again, self.told = again, ""
        b = self.nbd
        b.structured, b.extended, b.flags = structured, extended, flags
        b.block, b.piece, b.size = block, piece, size
        b.driver.size = size
        b.limit_ms = <int>min(limit * 1000, 1e9)
        b.near = near
        b.self = <void *>self
        if again is not None:
            b.reopen = reopened
        for link in links:
            self.add(link)

    def __dealloc__(self):
        if self.nbd != NULL:
            if not self.shut:
                bd_nbd_close(self.nbd)
            bd_nbd_free(self.nbd)

    def add(self, Link link not None):
        """One more connection."""
        cdef bd_link *l = link.take()
        cdef int rc = bd_nbd_adopt(self.nbd, l)
        if rc < 0:
            bd_link_free(l)
            raise NbdError(-rc, "too many connections")

    @property
    def closed(self):
        return bool(self.shut)

    @property
    def connections(self):
        """How many connections were made so far."""
        return self.nbd.count

    @property
    def broken(self):
        """Why nothing can be asked any more: an errno, or 0."""
        return self.nbd.broken

    @property
    def resumed(self):
        """How often a new connection took over."""
        return self.nbd.resumed

    def close(self):
        """Says good-bye. Calls that are still inside end with an error."""
        if not self.shut:
            self.shut = True
            with nogil:
                bd_nbd_close(self.nbd)

    def tell(self, str text):
        """Notes why no connection could be made again."""
        self.told = text

    def explain(self, int errno):
        """What is known in words about an errno; empty where nothing is."""
        if self.shut:
            return ""
        if self.nbd.broken:
            why = text_of(self.nbd.why)
            return f"{why}; {self.told}" if why and self.told else why or self.told
        return text_of(self.nbd.said) if self.nbd.said_errno == errno else ""

    def driver(self):
        """A capsule with the driver for the native reader. It keeps the session alive."""
        self._open()
        capsule = PyCapsule_New(&self.nbd.driver, BD_DRIVER_NAME, forget_session)
        Py_INCREF(self)
        PyCapsule_SetContext(capsule, <void *>self)
        return capsule

    cdef bd_nbd *_open(self) except NULL:
        if self.shut:
            raise NbdError(errno_names.EBADF, "it is closed")
        return self.nbd

    cdef int _raise(self, int code) except -1:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        raise NbdError(code, self.explain(code))

    cdef int _finish(self, void *token, int err) except -1:
        """Waits, so that a signal gets through. The token is gone afterwards."""
        cdef int done = 0, result = 0
        if token == NULL:
            return self._raise(err)
        try:
            while not done:
                with nogil:
                    done = bd_token_step(self.nbd, <bd_token *>token, SLICE, NULL, &result)
                if not done:
                    PyErr_CheckSignals()
        finally:
            bd_token_free(<bd_token *>token)
        return self._raise(-result) if result < 0 else 0

    def read_into(self, buffer, int64_t offset):
        """Fills the buffer; the range lies inside the export."""
        cdef Py_buffer view
        cdef void *token
        cdef int err = 0
        self._open()
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            with nogil:
                token = bd_nbd_read(self.nbd, <unsigned char *>view.buf, offset, view.len, &err)
            self._finish(token, err)
        finally:
            PyBuffer_Release(&view)

    def write(self, data, int64_t offset):
        """Writes all of it."""
        cdef Py_buffer view
        cdef void *token
        cdef int err = 0
        self._open()
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                token = bd_nbd_write(self.nbd, <unsigned char *>view.buf, offset, view.len, &err)
            self._finish(token, err)
        finally:
            PyBuffer_Release(&view)

    def zero(self, int64_t offset, int64_t length, *, bint punch=True):
        """Makes a range read as zeroes; without ``punch`` it stays allocated. EOPNOTSUPP: zeroes are to be written."""
        cdef void *token
        cdef int err = 0, flags = 0 if punch else NO_HOLE
        self._open()
        with nogil:
            token = bd_nbd_zero_with(self.nbd, offset, length, flags, &err)
        self._finish(token, err)

    def trim(self, int64_t offset, int64_t length):
        """Gives the whole blocks of a range back: they may read as anything then."""
        cdef void *token
        cdef int err = 0
        self._open()
        with nogil:
            token = bd_nbd_trim(self.nbd, offset, length, &err)
        self._finish(token, err)

    def flush(self):
        """Returns when everything confirmed before is on stable storage."""
        cdef void *token
        cdef int err = 0
        self._open()
        with nogil:
            token = bd_nbd_flush(self.nbd, &err)
        self._finish(token, err)

    def status(self, uint32_t context, int mode, int64_t offset, int64_t length):
        """What a context tells about a range, from its begin on as far as the server tells (at least one byte): the
        extents, and where what was told ends.

        ``mode``: ALLOCATION gives data, zero and hole; BITMAP data where a flag is set, and nothing elsewhere; RAW the
        number that the context has (32 and more: 32) as the kind.
        """
        cdef bd_vec found
        cdef int64_t end = offset
        cdef void *token
        cdef int err = 0
        self._open()
        memset(&found, 0, sizeof(found))
        with nogil:
            token = bd_nbd_status(self.nbd, context, mode, offset, length, &found, &end, &err)
        try:
            self._finish(token, err)
            if found.n == 0:
                return Extents(), end
            return Extents.from_capsule(packed(&found)), end
        finally:
            bd_free(&found)
