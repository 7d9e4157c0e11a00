// A WebSocket echo load generator. One thread, epoll, CONNECTIONS connections, WINDOW messages in flight on
// each. Usage: load PORT CONNECTIONS WINDOW SIZE SECONDS text|binary SERVER_PID
#define _GNU_SOURCE
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

typedef struct {
  int fd;
  int hs;
  uint64_t need;
  int hdrlen;
  unsigned char hdr[16];
  uint64_t got_msgs;
  int fin;
  size_t out_off, out_len;
  int writing;
  uint64_t pay;
} C;
static unsigned char *frame;
static size_t frame_len;
static int K, W;
static size_t S;
static unsigned char *burst;
static size_t burst_len;
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static void die(const char *m) {
  perror(m);
  exit(1);
}
static int ep;
static int spid = 0;
static double pcpu(void) {
  if (!spid)
    return 0;
  char p[64];
  snprintf(p, 64, "/proc/%d/schedstat", spid);
  FILE *f = fopen(p, "r");
  if (!f)
    return 0;
  unsigned long long a = 0;
  if (fscanf(f, "%llu", &a) != 1)
    a = 0;
  fclose(f);
  return a * 1e-9;
}
static uint64_t total = 0, bytes = 0;
static void arm(C *c, int wr) {
  struct epoll_event e = {.events = EPOLLIN | (wr ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}
static void flush_out(C *c) {
  // pending bytes are a multiple of whole frames, all the same bytes
  while (c->out_len) {
    size_t off = c->out_off % frame_len;
    size_t n = c->out_len;
    size_t cap = burst_len - off;
    if (n > cap)
      n = cap;
    ssize_t r = send(c->fd, burst + off, n, MSG_NOSIGNAL);
    if (r < 0) {
      if (errno == EAGAIN) {
        if (!c->writing) {
          c->writing = 1;
          arm(c, 1);
        }
        return;
      }
      die("send");
    }
    c->out_off += r;
    c->out_len -= r;
  }
  if (c->writing) {
    c->writing = 0;
    arm(c, 0);
  }
}
int main(int argc, char **argv) {
  int port = atoi(argv[1]);
  K = atoi(argv[2]);
  W = atoi(argv[3]);
  S = strtoull(argv[4], 0, 10);
  double secs = atof(argv[5]);
  int text = argc > 6 && !strcmp(argv[6], "text");
  if (argc > 7)
    spid = atoi(argv[7]);
  size_t h = S < 126 ? 2 : S < 65536 ? 4 : 10;
  frame_len = h + 4 + S;
  frame = malloc(frame_len);
  frame[0] = text ? 0x81 : 0x82;
  if (S < 126)
    frame[1] = 0x80 | S;
  else if (S < 65536) {
    frame[1] = 0x80 | 126;
    frame[2] = S >> 8;
    frame[3] = S;
  } else {
    frame[1] = 0x80 | 127;
    for (int i = 0; i < 8; i++)
      frame[2 + i] = (uint64_t)S >> (56 - 8 * i);
  }
  unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  memcpy(frame + h, mask, 4);
  for (size_t i = 0; i < S; i++)
    frame[h + 4 + i] = ('a' + i % 26) ^ mask[i & 3];
  size_t reps = (1 << 16) / frame_len;
  if (reps < 1)
    reps = 1;
  if ((int)reps > W)
    reps = W;
  burst_len = reps * frame_len;
  burst = malloc(burst_len);
  for (size_t i = 0; i < reps; i++)
    memcpy(burst + i * frame_len, frame, frame_len);
  ep = epoll_create1(0);
  C *cs = calloc(K, sizeof(C));
  for (int i = 0; i < K; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(0x7f000001);
    int tries = 0;
    while (connect(fd, (void *)&a, sizeof a)) {
      if (++tries > 100)
        die("connect");
      usleep(50000);
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char rq[512];
    int n = snprintf(
        rq, sizeof rq,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        port);
    if (send(fd, rq, n, 0) != n)
      die("hs");
    char rs[4096];
    int l = 0;
    while (1) {
      int r = recv(fd, rs + l, 1, 0);
      if (r <= 0)
        die("hs recv");
      l += r;
      rs[l] = 0;
      if (l >= 4 && !memcmp(rs + l - 4, "\r\n\r\n", 4))
        break;
      if (l > 4000)
        die("hs long");
    }
    if (strncmp(rs, "HTTP/1.1 101", 12)) {
      fprintf(stderr, "bad handshake: %.*s\n", 60, rs);
      exit(1);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    cs[i].fd = fd;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &cs[i]};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
  double t0 = now(), tw = t0 + secs * 0.2, t1 = tw + secs;
  uint64_t base = 0;
  int warm = 0;
  double ts = t0, c0 = 0;
  for (int i = 0; i < K; i++) {
    cs[i].out_len = (size_t)W * frame_len;
    flush_out(&cs[i]);
  }
  static unsigned char buf[1 << 18];
  struct epoll_event ev[256];
  double t = t0;
  while (1) {
    int n = epoll_wait(ep, ev, 256, 100);
    t = now();
    if (!warm && t >= tw) {
      warm = 1;
      base = total;
      ts = t;
      c0 = pcpu();
    }
    if (t >= t1)
      break;
    for (int j = 0; j < n; j++) {
      C *c = ev[j].data.ptr;
      if (ev[j].events & EPOLLOUT)
        flush_out(c);
      if (!(ev[j].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        continue;
      ssize_t r = recv(c->fd, buf, sizeof buf, 0);
      if (r < 0) {
        if (errno == EAGAIN)
          continue;
        die("recv");
      }
      if (r == 0) {
        fprintf(stderr, "server closed after %lu\n", total);
        exit(1);
      }
      bytes += r;
      size_t p = 0;
      int done = 0;
      while (p < (size_t)r || 0) {
        if (c->need) {
          uint64_t k = r - p;
          if (k > c->need)
            k = c->need;
          c->need -= k;
          p += k;
          c->pay += k;
          if (!c->need && c->fin) {
            if (c->pay != S) {
              fprintf(stderr, "bad size %lu\n", c->pay);
              exit(1);
            }
            done++;
            c->pay = 0;
          }
          continue;
        }
        c->hdr[c->hdrlen++] = buf[p++];
        if (c->hdrlen < 2)
          continue;
        int l7 = c->hdr[1] & 127;
        int hl = 2 + (l7 == 126 ? 2 : l7 == 127 ? 8 : 0) + (c->hdr[1] & 0x80 ? 4 : 0);
        if (c->hdrlen < hl)
          continue;
        uint64_t len = l7;
        if (l7 == 126)
          len = c->hdr[2] << 8 | c->hdr[3];
        else if (l7 == 127) {
          len = 0;
          for (int i = 0; i < 8; i++)
            len = len << 8 | c->hdr[2 + i];
        }
        int op = c->hdr[0] & 15;
        if (op == 8) {
          fprintf(stderr, "server sent close\n");
          exit(1);
        }
        c->fin = c->hdr[0] >> 7;
        c->hdrlen = 0;
        c->need = len;
        if (op >= 8) { /*ping ignored*/
          c->fin = 0;
        }
        if (!len && c->fin && S == 0)
          done++;
      }
      if (done) {
        total += done;
        c->out_len += (size_t)done * frame_len;
        if (!c->writing)
          flush_out(c);
      }
    }
  }
  double el = t - ts;
  double sc = pcpu() - c0;
  struct rusage ru;
  getrusage(RUSAGE_SELF, &ru);
  double cpu =
      ru.ru_utime.tv_sec + ru.ru_utime.tv_usec * 1e-6 + ru.ru_stime.tv_sec + ru.ru_stime.tv_usec * 1e-6;
  printf("{\"messages_per_second\": %.1f, \"microseconds\": %.4f, \"server_cpu\": %.3f, \"generator_cpu\": "
         "%.3f}\n",
         (total - base) / el, sc * 1e6 / (total - base), sc / el, cpu / (t - t0));
  return 0;
}
