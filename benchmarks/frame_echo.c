// A WebSocket echo for measuring clients: it does the opening handshake, unmasks what comes, and sends it back in
// frames of its own. One blocking connection after the other. Usage: frame_echo PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM (1 << 22)
static unsigned char in[ROOM], out[ROOM];

static uint32_t rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

static void sha1_block(uint32_t *h, const unsigned char *block) {
  uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 80; i++)
    w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  for (int i = 0; i < 80; i++) {
    uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                 : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                 : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                          : (b ^ c ^ d) + 0xCA62C1D6;
    uint32_t next = rotate(a, 5) + f + e + w[i];
    e = d, d = c, c = rotate(b, 30), b = a, a = next;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

// Sec-WebSocket-Accept of a key of 24 characters.
static void accept_key(const char *key, char *accept) {
  unsigned char message[128] = {0}, digest[21] = {0};
  uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  memcpy(message, key, 24);
  memcpy(message + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
  message[60] = 0x80;
  message[126] = 60 * 8 >> 8;
  message[127] = 60 * 8 & 255;
  sha1_block(h, message);
  sha1_block(h, message + 64);
  for (int i = 0; i < 20; i++)
    digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
  const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0; i < 7; i++) {
    uint32_t bits = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
    for (int j = 0; j < 4; j++)
      accept[4 * i + j] = letters[bits >> (18 - 6 * j) & 63];
  }
  accept[27] = '=';
  accept[28] = 0;
}

static int send_all(int fd, const unsigned char *data, size_t size) {
  for (ssize_t sent; size; data += sent, size -= sent)
    if ((sent = send(fd, data, size, MSG_NOSIGNAL)) <= 0)
      return -1;
  return 0;
}

static int upgrade(int fd) {
  char request[8192], answer[512], accept[29];
  size_t size = 0;
  do {
    ssize_t got = recv(fd, request + size, sizeof request - 1 - size, 0);
    if (got <= 0)
      return -1;
    size += got;
    request[size] = 0;
  } while (!strstr(request, "\r\n\r\n"));
  char *key = strcasestr(request, "\r\nsec-websocket-key:");
  if (!key)
    return -1;
  for (key += 20; *key == ' '; key++)
    ;
  accept_key(key, accept);
  int length = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
  return send_all(fd, (unsigned char *)answer, length);
}

// Write the whole frames of `in` to `out`, unmasked; return the bytes used.
static size_t answer_frames(size_t size, size_t *answered, int *closed) {
  size_t at = 0, to = 0;
  while (size - at >= 6) {
    uint64_t length = in[at + 1] & 127;
    int extended = length == 126 ? 2 : length == 127 ? 8 : 0;
    if (size - at < (size_t)extended + 6)
      break;
    if (extended)
      length = 0;
    for (int i = 0; i < extended; i++)
      length = length << 8 | in[at + 2 + i];
    unsigned char *mask = in + at + 2 + extended, *payload = mask + 4;
    if (size - at - extended - 6 < length)
      break;
    *closed |= (in[at] & 15) == 8;
    out[to] = in[at];
    out[to + 1] = in[at + 1] & 127;
    memcpy(out + to + 2, in + at + 2, extended);
    to += 2 + extended;
    for (uint64_t i = 0; i < length; i++)
      out[to + i] = payload[i] ^ mask[i & 3];
    to += length;
    at += 6 + extended + length;
  }
  *answered = to;
  return at;
}

static void serve(int fd) {
  size_t have = 0, answered;
  int closed = 0;
  if (upgrade(fd))
    return;
  while (!closed) {
    ssize_t got = recv(fd, in + have, ROOM - have, 0);
    if (got <= 0)
      return;
    have += got;
    size_t used = answer_frames(have, &answered, &closed);
    memmove(in, in + used, have -= used);
    if (send_all(fd, out, answered))
      return;
  }
}

int main(int argc, char **argv) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (argc < 2)
    return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 64))
    return 1;
  while (1) {
    int fd = accept(listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    serve(fd);
    close(fd);
  }
}
