/* Load client: opens Socket.IO connections over WebSocket, answers heartbeats, and notes when each batch arrives.
 *
 *   load_client PORT CONNECTIONS IN_FLIGHT CONNECT_FILE ARRIVALS_FILE
 *
 * CONNECT_FILE holds one CONNECT payload (JSON) a line; connection i uses line i modulo their number. At most IN_FLIGHT
 * handshakes are under way at a time; a connection counts as made when the server has answered its CONNECT. Prints one
 * JSON line when all are made, and another when standard input ends. ARRIVALS_FILE then holds one record for each batch:
 * two unsigned 64-bit integers, its `seq` and its arrival in microseconds since 1970. `bytes` counts the frames of
 * batches only. One thread, epoll, no allocation per message, so that what is measured is the server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 128 /* the longest control frame, and the name of an event */
#define TAIL_BYTES 32  /* `"seq":` and 16 digits stand at the end of a batch */
#define REQUEST_BYTES 512
#define CONNECT_BYTES 8192
#define MAX_CONNECT_LINES 65536

enum stage { CONNECTING, HTTP_ANSWER, FRAME_HEADER, FRAME_PAYLOAD, CLOSED };
enum opcode { OP_TEXT = 1, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct connection {
    int fd;
    enum stage stage;
    const char *connect_payload;
    int answer_matched;        /* characters of the blank line that ends the HTTP answer */
    unsigned char header[10];  /* frame header as far as it has come */
    int header_length;
    int opcode;
    uint64_t frame_bytes;
    uint64_t payload_left;
    char head[HEAD_BYTES];
    int head_length;
    char tail[TAIL_BYTES];
    int joined;
    uint64_t last_seq;
    uint64_t events;
};

struct arrival {
    uint64_t seq;
    uint64_t at_us;
};

static const char BATCH_EVENT[] = "42[\"sensor:readings:batch\"";

static int epoll_fd, port;
static struct connection *connections;
static int connection_count, started, joined, failed, closed_later;
static char *connect_lines[MAX_CONNECT_LINES];
static int connect_line_count;
static struct arrival *arrivals;
static size_t arrival_count, arrival_capacity;
static uint64_t batch_bytes, out_of_order;

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void read_connect_lines(const char *path) {
    char line[CONNECT_BYTES];
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    while (connect_line_count < MAX_CONNECT_LINES && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        connect_lines[connect_line_count++] = strdup(line);
    }
    fclose(file);
    if (!connect_line_count) die("no CONNECT payload");
}

static void start_next(void) {
    struct connection *c = &connections[started];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->connect_payload = connect_lines[started++ % connect_line_count];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
}

static void finish(struct connection *c) {
    if (c->stage == CLOSED) return;
    if (c->joined) closed_later++;
    else failed++;
    c->stage = CLOSED;
    close(c->fd);
}

static void write_all(struct connection *c, const void *bytes, size_t length) {
    if (write(c->fd, bytes, length) != (ssize_t)length) finish(c);
}

static void send_frame(struct connection *c, int opcode, const char *payload, size_t length) {
    unsigned char frame[CONNECT_BYTES + 16];
    size_t at = 0;
    if (length > CONNECT_BYTES) die("frame too long");
    frame[at++] = 0x80 | opcode;
    if (length < 126) {
        frame[at++] = 0x80 | length;
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = length >> 8;
        frame[at++] = length & 255;
    }
    memset(frame + at, 0, 4); /* a mask of zeros leaves the payload as it is */
    memcpy(frame + at + 4, payload, length);
    write_all(c, frame, at + 4 + length);
}

static void send_request(struct connection *c) {
    char request[REQUEST_BYTES];
    int length = snprintf(request, sizeof request,
                          "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                          "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                          port);
    int one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->stage = HTTP_ANSWER;
    write_all(c, request, length);
}

static void note_batch(struct connection *c, uint64_t at_us) {
    const char *mark = memmem(c->tail, TAIL_BYTES, "\"seq\":", 6);
    uint64_t seq = mark ? strtoull(mark + 6, NULL, 10) : 0;
    if (seq < c->last_seq) out_of_order++;
    c->last_seq = seq;
    c->events++;
    batch_bytes += c->frame_bytes;
    if (arrival_count == arrival_capacity) {
        arrival_capacity = arrival_capacity ? arrival_capacity * 2 : 1 << 20;
        arrivals = realloc(arrivals, arrival_capacity * sizeof *arrivals);
        if (!arrivals) die("realloc");
    }
    arrivals[arrival_count++] = (struct arrival){seq, at_us};
}

static void on_text(struct connection *c, uint64_t at_us) {
    char payload[CONNECT_BYTES];
    if (c->head_length == 0) return;
    if (c->head[0] == '0') {
        int length = snprintf(payload, sizeof payload, "40%s", c->connect_payload);
        send_frame(c, OP_TEXT, payload, length);
    } else if (c->head[0] == '2') {
        send_frame(c, OP_TEXT, "3", 1);
    } else if (c->head_length > 1 && c->head[0] == '4' && c->head[1] == '0') {
        c->joined = 1;
        joined++;
    } else if (c->head_length > 1 && c->head[0] == '4' && c->head[1] == '4') {
        fprintf(stderr, "refused: %.*s\n", c->head_length, c->head);
        finish(c);
    } else if (c->head_length >= (int)sizeof BATCH_EVENT - 1 && !memcmp(c->head, BATCH_EVENT, sizeof BATCH_EVENT - 1)) {
        note_batch(c, at_us);
    }
}

static void on_frame(struct connection *c, uint64_t at_us) {
    c->stage = FRAME_HEADER;
    c->header_length = 0;
    if (c->opcode == OP_TEXT) on_text(c, at_us);
    else if (c->opcode == OP_PING) send_frame(c, OP_PONG, c->head, c->head_length);
    else if (c->opcode == OP_CLOSE) finish(c);
}

/* Take what is there of a frame header; gives the bytes taken. */
static size_t take_header(struct connection *c, const unsigned char *bytes, size_t length) {
    size_t taken = 0;
    while (taken < length) {
        c->header[c->header_length++] = bytes[taken++];
        if (c->header_length < 2) continue;
        int marker = c->header[1] & 127, whole = marker == 126 ? 4 : marker == 127 ? 10 : 2;
        if (c->header_length < whole) continue;
        c->payload_left = whole == 2 ? (uint64_t)marker : 0;
        for (int i = 2; i < whole; i++) c->payload_left = c->payload_left << 8 | c->header[i];
        c->opcode = c->header[0] & 15;
        c->frame_bytes = c->payload_left + whole;
        c->head_length = 0;
        c->stage = FRAME_PAYLOAD;
        break;
    }
    return taken;
}

static size_t take_payload(struct connection *c, const unsigned char *bytes, size_t length) {
    size_t taken = length < c->payload_left ? length : c->payload_left;
    size_t head = HEAD_BYTES - c->head_length;
    if (head > taken) head = taken;
    memcpy(c->head + c->head_length, bytes, head);
    c->head_length += head;
    if (taken >= TAIL_BYTES) {
        memcpy(c->tail, bytes + taken - TAIL_BYTES, TAIL_BYTES);
    } else {
        memmove(c->tail, c->tail + taken, TAIL_BYTES - taken);
        memcpy(c->tail + TAIL_BYTES - taken, bytes, taken);
    }
    c->payload_left -= taken;
    return taken;
}

static void on_bytes(struct connection *c, const unsigned char *bytes, size_t length, uint64_t at_us) {
    static const char BLANK_LINE[] = "\r\n\r\n";
    size_t at = 0;
    while (at < length && c->stage != CLOSED) {
        if (c->stage == HTTP_ANSWER) {
            unsigned char byte = bytes[at++];
            c->answer_matched = byte == BLANK_LINE[c->answer_matched] ? c->answer_matched + 1 : byte == '\r';
            if (c->answer_matched == 4) c->stage = FRAME_HEADER;
        } else if (c->stage == FRAME_HEADER) {
            at += take_header(c, bytes + at, length - at);
            if (c->stage == FRAME_PAYLOAD && !c->payload_left) on_frame(c, at_us);
        } else {
            at += take_payload(c, bytes + at, length - at);
            if (!c->payload_left) on_frame(c, at_us);
        }
    }
}

static void on_ready(struct connection *c, uint32_t events) {
    static unsigned char buffer[1 << 18];
    if (c->stage == CLOSED) return;
    if (c->stage == CONNECTING) {
        if (events & (EPOLLERR | EPOLLHUP)) finish(c);
        else send_request(c);
        return;
    }
    ssize_t length = read(c->fd, buffer, sizeof buffer);
    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) finish(c);
        return;
    }
    on_bytes(c, buffer, length, now_us());
}

/* Handle what is ready; gives 0 once standard input has ended. */
static int turn(void) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll_fd, events, 512, 100), go_on = 1;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr) {
            on_ready(events[i].data.ptr, events[i].events);
        } else {
            char byte;
            if (read(STDIN_FILENO, &byte, 1) <= 0) go_on = 0;
        }
    }
    return go_on;
}

static void write_arrivals(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(arrivals, sizeof *arrivals, arrival_count, file) != arrival_count) die(path);
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: load_client PORT CONNECTIONS IN_FLIGHT CONNECT_FILE ARRIVALS_FILE\n");
        return 2;
    }
    port = atoi(argv[1]);
    connection_count = atoi(argv[2]);
    int in_flight = atoi(argv[3]);
    read_connect_lines(argv[4]);
    connections = calloc(connection_count, sizeof *connections);
    epoll_fd = epoll_create1(0);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (!connections || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input)) die("set-up");

    uint64_t started_us = now_us();
    int go_on = 1;
    while (go_on && joined + failed < connection_count) {
        while (started < connection_count && started - joined - failed < in_flight) start_next();
        go_on = turn();
    }
    printf("{\"joined\":%d,\"failed\":%d,\"seconds\":%.6f}\n", joined, failed, (now_us() - started_us) / 1e6);
    fflush(stdout);
    while (go_on) go_on = turn();

    uint64_t fewest = UINT64_MAX, most = 0;
    for (int i = 0; i < connection_count; i++) {
        if (connections[i].events < fewest) fewest = connections[i].events;
        if (connections[i].events > most) most = connections[i].events;
    }
    write_arrivals(argv[5]);
    printf("{\"events\":%zu,\"bytes\":%lu,\"closed\":%d,\"out_of_order\":%lu,\"fewest\":%lu,\"most\":%lu}\n", arrival_count,
           batch_bytes, closed_later, out_of_order, fewest, most);
    return 0;
}
