// A stream to the server, plain or TLS: opened blocking, used without blocking. For load.c alone.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

typedef struct {
  int fd;
  void *tls;
} Stream;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

#ifdef WITH_TLS
static ssize_t tls_result(Stream *s, int result) {
  if (result > 0)
    return result;
  int error = SSL_get_error(s->tls, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
    return -1;
  if (error == SSL_ERROR_ZERO_RETURN)
    return 0;
  fail("TLS failed");
  return 0;
}

static void tls_open(Stream *s) {
  static SSL_CTX *context;
  if (!context) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  s->tls = SSL_new(context);
  SSL_set_fd(s->tls, s->fd);
  if (SSL_connect(s->tls) != 1)
    fail("the TLS handshake failed");
}
#endif

// Bytes received, 0 at the end, -1 if there are none yet.
static ssize_t stream_receive(Stream *s, void *buffer, size_t size) {
#ifdef WITH_TLS
  if (s->tls)
    return tls_result(s, SSL_read(s->tls, buffer, size));
#endif
  ssize_t got = recv(s->fd, buffer, size, 0);
  if (got < 0 && errno != EAGAIN)
    die("recv");
  return got;
}

// Bytes sent, -1 if there is no room.
static ssize_t stream_send(Stream *s, const void *data, size_t size) {
#ifdef WITH_TLS
  if (s->tls)
    return tls_result(s, SSL_write(s->tls, data, size));
#endif
  ssize_t sent = send(s->fd, data, size, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN)
    die("send");
  return sent;
}

static void stream_open(Stream *s, int port, int tls) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->fd = socket(AF_INET, SOCK_STREAM, 0);
  s->tls = NULL;
  if (s->fd < 0)
    die("socket");
  for (int tries = 0; connect(s->fd, (void *)&address, sizeof address); usleep(50000))
    if (++tries > 100)
      die("connect");
  int on = 1;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!tls)
    return;
#ifdef WITH_TLS
  tls_open(s);
#else
  fail("compiled without TLS");
#endif
}

static void stream_ask(Stream *s, int port, int deflate) {
  char request[512];
  int size = snprintf(request, sizeof request,
                      "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                      port,
                      deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
  if (stream_send(s, request, size) != size)
    fail("the request could not be sent");
}

// Servers send nothing before they are asked, so all that comes is the answer.
static const char *stream_read_answer(Stream *s) {
  static char answer[4096];
  size_t size = 0;
  do {
    ssize_t got = stream_receive(s, answer + size, sizeof answer - 1 - size);
    if (got <= 0)
      fail("the server did not answer the handshake");
    size += got;
    answer[size] = 0;
  } while (size < 4 || memcmp(answer + size - 4, "\r\n\r\n", 4));
  if (strncmp(answer, "HTTP/1.1 101", 12))
    fail("the server refused the handshake");
  return answer;
}

static void stream_close_frame(Stream *s) {
  const unsigned char frame[] = {0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 255};
  stream_send(s, frame, sizeof frame);
}

static void stream_read_end(Stream *s) {
  char rest[256];
  while (recv(s->fd, rest, sizeof rest, 0) > 0)
    ;
  close(s->fd);
}
