// A WebSocket load generator: one thread, epoll, the frames of a file. It sends and counts, and reads the CPU
// time of the process that it is told to watch; it does not judge what comes back beyond its length.
//
// Usage: load PORT NAME=VALUE...
//   mode=echo    WINDOW frames in flight on each connection; each message that comes back sends the next one
//   mode=rounds  connection 0 sends a frame, and EXPECT messages are awaited on all connections, again and again;
//                the first frame of the file begins a round of WARM_UP messages that is not counted
//   mode=open    connections are opened and closed, WINDOW at a time
//   connections= window= seconds= expect= warm_up= pid= frames=FILE tls=1 deflate=1
#define _GNU_SOURCE
#include "load_stream.h"

static int connections = 1, window = 1, expect, warm_up, pid, tls, deflate;
static double seconds = 1;
static const char *mode = "echo", *frames_file;

// The frames of the file, over and over, so that many can be sent in one call.
static unsigned char *burst;
static size_t burst_len, *frame_end, frames;
static uint64_t *payload_size; // what comes back has the same size; 0 where it is compressed

typedef struct {
  Stream stream;
  unsigned char header[16];
  int header_len, fin, writing;
  uint64_t need, payload;          // of the frame and the message that are being received
  size_t next_out, next_in, out;   // frames sent and received, modulo the cycle, and the next byte to send
  size_t owed;                     // bytes that are to be sent
} Connection;

static int poller;
static uint64_t total;
static double *round_trips, sent_at;
static size_t round_trips_len, round_trips_room;

static double cpu_of_peer(void) {
  char path[64];
  unsigned long long nanoseconds = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
  FILE *file = pid ? fopen(path, "r") : NULL;
  if (!file)
    return 0;
  if (fscanf(file, "%llu", &nanoseconds) != 1)
    nanoseconds = 0;
  fclose(file);
  return nanoseconds * 1e-9;
}

// Length of a frame's header, or 0 if more bytes are needed to tell.
static int header_length(const unsigned char *header, int have) {
  if (have < 2)
    return 0;
  int length = header[1] & 127, whole = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (header[1] & 128 ? 4 : 0);
  return have < whole ? 0 : whole;
}

static uint64_t payload_length(const unsigned char *header) {
  int length = header[1] & 127, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  uint64_t value = bytes ? 0 : length;
  for (int i = 0; i < bytes; i++)
    value = value << 8 | header[2 + i];
  return value;
}

static void read_frames(void) {
  FILE *file = fopen(frames_file, "rb");
  if (!file)
    die(frames_file);
  fseek(file, 0, SEEK_END);
  size_t size = ftell(file);
  rewind(file);
  size_t repeats = strcmp(mode, "echo") || size > 1 << 16 ? 1 : (1 << 16) / size + 1;
  burst = malloc(size * repeats);
  if (fread(burst, 1, size, file) != size)
    die("read");
  fclose(file);
  for (size_t i = 1; i < repeats; i++)
    memcpy(burst + i * size, burst, size);
  burst_len = size * repeats;
  for (size_t at = 0; at < burst_len; frames++) {
    frame_end = realloc(frame_end, (frames + 1) * sizeof *frame_end);
    payload_size = realloc(payload_size, (frames + 1) * sizeof *payload_size);
    payload_size[frames] = burst[at] & 0x40 ? 0 : payload_length(burst + at);
    at += header_length(burst + at, 14) + payload_length(burst + at);
    frame_end[frames] = at;
  }
}

static void watch(Connection *c, int writing) {
  struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
  c->writing = writing;
  epoll_ctl(poller, EPOLL_CTL_MOD, c->stream.fd, &event);
}

static void owe(Connection *c, int count) {
  for (; count > 0; count--) {
    c->owed += frame_end[c->next_out] - (c->next_out ? frame_end[c->next_out - 1] : 0);
    c->next_out = (c->next_out + 1) % frames;
  }
}

static void send_owed(Connection *c) {
  while (c->owed) {
    size_t room = burst_len - c->out, size = c->owed < room ? c->owed : room;
    ssize_t sent = stream_send(&c->stream, burst + c->out, size);
    if (sent < 0) {
      if (!c->writing)
        watch(c, 1);
      return;
    }
    c->out = (c->out + sent) % burst_len;
    c->owed -= sent;
  }
  if (c->writing)
    watch(c, 0);
}

// Take what was received; return how many messages ended.
static int parse(Connection *c, const unsigned char *data, size_t size) {
  int messages = 0;
  for (size_t at = 0; at < size;) {
    if (!c->need) {
      c->header[c->header_len++] = data[at++];
      if (!header_length(c->header, c->header_len))
        continue;
      int opcode = c->header[0] & 15;
      if (opcode == 8)
        fail("the server sent a close frame");
      c->need = payload_length(c->header);
      c->fin = opcode < 8 && c->header[0] >> 7;
      c->header_len = 0;
      if (opcode < 8)
        c->payload += c->need;
    }
    uint64_t take = size - at < c->need ? size - at : c->need;
    c->need -= take;
    at += take;
    if (!c->need && c->fin) {
      if (!strcmp(mode, "echo") && payload_size[c->next_in] && payload_size[c->next_in] != c->payload)
        fail("a message came back with another length");
      c->next_in = (c->next_in + 1) % frames;
      c->payload = 0;
      c->fin = 0;
      messages++;
    }
  }
  return messages;
}

static int receive(Connection *c) {
  static unsigned char buffer[1 << 18];
  int messages = 0;
  do {
    ssize_t size = stream_receive(&c->stream, buffer, sizeof buffer);
    if (size < 0)
      break;
    if (size == 0)
      fail("the server closed the connection");
    messages += parse(c, buffer, size);
  } while (c->stream.tls); // what TLS holds back, epoll does not tell
  return messages;
}

static void open_one(Connection *c) {
  if (!strstr(stream_read_answer(&c->stream), "permessage-deflate") && deflate)
    fail("the server does not compress");
  fcntl(c->stream.fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->stream.fd, &event);
}

static Connection *open_all(int port) {
  Connection *all = calloc(connections, sizeof *all);
  poller = epoll_create1(0);
  // Some at a time: one by one they would wait for the scheduler, and too many would not fit the listen queue.
  for (int from = 0; from < connections; from += 64) {
    int to = from + 64 < connections ? from + 64 : connections;
    for (int i = from; i < to; i++)
      stream_open(&all[i].stream, port, tls);
    for (int i = from; i < to; i++)
      stream_ask(&all[i].stream, port, deflate);
    for (int i = from; i < to; i++)
      open_one(&all[i]);
  }
  return all;
}

// Wait for events, and answer if this is an echo; return the messages received.
static int turn(void) {
  struct epoll_event events[256];
  int messages = 0, echo = !strcmp(mode, "echo"), lone = connections * window == 1;
  int count = epoll_wait(poller, events, 256, 100);
  for (int i = 0; i < count; i++) {
    Connection *c = events[i].data.ptr;
    if (events[i].events & EPOLLOUT)
      send_owed(c);
    if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
      continue;
    int done = receive(c);
    messages += done;
    if (!done || !echo)
      continue;
    if (lone) {
      double t = now();
      if (round_trips_len == round_trips_room)
        round_trips = realloc(round_trips, (round_trips_room = 2 * round_trips_room + 4096) * sizeof(double));
      round_trips[round_trips_len++] = t - sent_at;
      sent_at = t;
    }
    owe(c, done);
    if (!c->writing)
      send_owed(c);
  }
  total += messages;
  return messages;
}

static int ascending(const void *a, const void *b) {
  return *(double *)a < *(double *)b ? -1 : *(double *)a > *(double *)b;
}

static void report(uint64_t count, double elapsed, double cpu) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double own = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec * 1e-6 + usage.ru_stime.tv_sec + usage.ru_stime.tv_usec * 1e-6;
  printf("{\"count\": %lu, \"per_second\": %.1f, \"microseconds\": %.4f, \"server_cpu\": %.3f, \"generator_cpu\": %.3f",
         count, count / elapsed, cpu * 1e6 / count, cpu / elapsed, own / elapsed);
  if (round_trips_len) {
    qsort(round_trips, round_trips_len, sizeof(double), ascending);
    printf(", \"round_trip\": %.4f", round_trips[round_trips_len / 2] * 1e6);
  }
  printf("}\n");
}

static void run_echo(int port) {
  Connection *all = open_all(port);
  double start = 0, cpu = 0, begin, t;
  uint64_t base = 0;
  sent_at = now();
  for (int i = 0; i < connections; i++) {
    owe(&all[i], window);
    send_owed(&all[i]);
  }
  begin = now();
  // Answers may come in bursts, one for each message in flight: that many pass before counting begins, and are counted.
  uint64_t burst_size = (uint64_t)connections * window;
  while ((t = now()) < start + seconds || !start || total - base < burst_size) {
    if (!start && t >= begin + seconds * 0.2 && total >= burst_size) {
      start = t;
      base = total;
      cpu = cpu_of_peer();
      round_trips_len = 0;
    }
    turn();
    if (t > begin + seconds * 2 + 60)
      fail("too few messages came back");
  }
  report(total - base, now() - start, cpu_of_peer() - cpu);
}

static void run_rounds(int port) {
  Connection *all = open_all(port);
  double start = 0, cpu = 0;
  uint64_t counted = 0;
  for (int round = 0; !round || now() < start + seconds || !counted; round++) {
    uint64_t goal = total + (round ? expect : warm_up);
    if (round == 1) {
      start = now();
      cpu = cpu_of_peer();
    }
    all->out = round ? frame_end[0] : 0;
    all->owed = frame_end[round ? 1 : 0] - all->out;
    double begin = now();
    send_owed(all);
    while (total < goal) {
      turn();
      if (now() > begin + 60)
        fail("too few messages came");
    }
    counted += round ? expect : 0;
    if (!round)
      start = now();
  }
  report(counted, now() - start, cpu_of_peer() - cpu);
}

static void run_open(int port) {
  Stream *batch = calloc(window, sizeof *batch);
  double begin = now(), start = 0, cpu = 0, t;
  uint64_t count = 0;
  while (!start || (t = now()) < start + seconds) {
    t = now();
    if (!start && t >= begin + seconds * 0.2) {
      start = t;
      cpu = cpu_of_peer();
      count = 0;
    }
    for (int i = 0; i < window; i++)
      stream_open(&batch[i], port, tls);
    for (int i = 0; i < window; i++)
      stream_ask(&batch[i], port, deflate);
    for (int i = 0; i < window; i++)
      stream_read_answer(&batch[i]);
    for (int i = 0; i < window; i++)
      stream_close_frame(&batch[i]);
    for (int i = 0; i < window; i++)
      stream_read_end(&batch[i]);
    count += window;
  }
  report(count, now() - start, cpu_of_peer() - cpu);
}

int main(int argc, char **argv) {
  int port = atoi(argv[1]);
  for (int i = 2; i < argc; i++) {
    char *value = strchr(argv[i], '=');
    if (!value)
      fail("arguments are NAME=VALUE");
    *value++ = 0;
    struct { const char *name; int *number; } numbers[] = {
        {"connections", &connections}, {"window", &window}, {"expect", &expect}, {"warm_up", &warm_up},
        {"pid", &pid},                 {"tls", &tls},       {"deflate", &deflate}};
    for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
      if (!strcmp(argv[i], numbers[j].name))
        *numbers[j].number = atoi(value);
    if (!strcmp(argv[i], "mode"))
      mode = value;
    else if (!strcmp(argv[i], "seconds"))
      seconds = atof(value);
    else if (!strcmp(argv[i], "frames"))
      frames_file = value;
  }
  if (frames_file)
    read_frames();
  if (!strcmp(mode, "open"))
    run_open(port);
  else if (!strcmp(mode, "rounds"))
    run_rounds(port);
  else
    run_echo(port);
  return 0;
}
