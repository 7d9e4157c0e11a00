// A byte echo over epoll: the least that an echo of frames can cost. It answers the one key that load.c
// sends. Usage: echo PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int c, char **v) {
  int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, 4);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(v[1]))};
  a.sin_addr.s_addr = htonl(0x7f000001);
  bind(l, (void *)&a, sizeof a);
  listen(l, 1024);
  int ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = l};
  epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
  static char buf[1 << 18];
  static char hs[65536];
  struct epoll_event ev[64];
  while (1) {
    int n = epoll_wait(ep, ev, 64, -1);
    for (int i = 0; i < n; i++) {
      int f = ev[i].data.fd;
      if (f == l) {
        int s = accept(l, 0, 0);
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, 4);
        hs[s] = 0;
        e.data.fd = s;
        epoll_ctl(ep, EPOLL_CTL_ADD, s, &e);
        continue;
      }
      int r = recv(f, buf, sizeof buf, 0);
      if (r <= 0) {
        close(f);
        continue;
      }
      if (!hs[f]) {
        hs[f] = 1;
        const char *x = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                        "Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        send(f, x, strlen(x), 0);
        continue;
      }
      int o = 0;
      while (o < r) {
        int k = send(f, buf + o, r - o, MSG_NOSIGNAL);
        if (k <= 0)
          break; // the peer has gone; the next recv says so
        o += k;
      }
    }
  }
}
