/* The floor: writes the same bytes to the same number of sockets as a server does, and does nothing else.
 *
 *   floor_server PORT CONNECTIONS EVENTS EVENT_BYTES
 *
 * Takes CONNECTIONS WebSocket connections with canned answers, then once a second writes EVENTS frames of EVENT_BYTES to
 * each, joined in one buffer, with one system call. No parsing, no rooms, no JSON: what remains is the kernel. `seq` in
 * each frame is the start of its flush in microseconds since 1970. Understands only `load_client`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LISTENER UINT32_MAX
#define FIRST_FLUSH_AFTER_S 3

static const char UPGRADE[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    "\x81\x57" "0{\"sid\":\"floor\",\"upgrades\":[],\"pingInterval\":3600000,\"pingTimeout\":1000,\"maxPayload\":1}";
static const char JOINED[] = "\x81\x11" "40{\"sid\":\"floor\"}";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void write_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t written = write(fd, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= written;
        } else if (errno == EAGAIN) {
            struct pollfd full = {.fd = fd, .events = POLLOUT};
            poll(&full, 1, 1000);
        } else {
            return;
        }
    }
}

/* Write one frame of `length` bytes in all; its text ends with the seq. Gives its end. */
static char *put_frame(char *at, int length, uint64_t seq) {
    static const char HEAD[] = "42[\"sensor:readings:batch\",{\"unitId\":\"";
    char tail[64];
    int payload = length - 4, tail_length = snprintf(tail, sizeof tail, "\",\"seq\":%lu}]", seq);
    int fill = payload - (int)(sizeof HEAD - 1) - tail_length;
    *at++ = (char)0x81;
    *at++ = 126;
    *at++ = (char)(payload >> 8);
    *at++ = (char)payload;
    memcpy(at, HEAD, sizeof HEAD - 1);
    at += sizeof HEAD - 1;
    memset(at, 'x', fill);
    memcpy(at + fill, tail, tail_length);
    return at + fill + tail_length;
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

static void take_connections(int listener, int *fds, int connections) {
    int epoll_fd = epoll_create1(0), accepted = 0, done = 0, one = 1;
    char *upgraded = calloc(connections, 1), buffer[16384];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = LISTENER}, events[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    while (done < connections) {
        int count = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < count; i++) {
            uint32_t index = events[i].data.u32;
            if (index == LISTENER) {
                fds[accepted] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (fds[accepted] < 0) die("accept");
                setsockopt(fds[accepted], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.u32 = accepted;
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[accepted++], &event);
            } else if (read(fds[index], buffer, sizeof buffer) <= 0) {
                epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fds[index], NULL);
                done++;
            } else if (!upgraded[index]) {
                upgraded[index] = 1;
                write_all(fds[index], UPGRADE, sizeof UPGRADE - 1);
            } else {
                write_all(fds[index], JOINED, sizeof JOINED - 1);
                done++;
            }
        }
    }
    free(upgraded);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: floor_server PORT CONNECTIONS EVENTS EVENT_BYTES\n");
        return 2;
    }
    int connections = atoi(argv[2]), events = atoi(argv[3]), event_bytes = atoi(argv[4]);
    if (event_bytes < 140 || event_bytes > 65535) die("EVENT_BYTES must be 140 to 65535");
    int *fds = calloc(connections, sizeof *fds);
    char *flush = malloc((size_t)events * event_bytes);
    if (!fds || !flush) die("memory");
    take_connections(listen_on(atoi(argv[1])), fds, connections);

    uint64_t due_us = now_us(CLOCK_MONOTONIC) + FIRST_FLUSH_AFTER_S * 1000000;
    for (;; due_us += 1000000) {
        uint64_t mono_us = now_us(CLOCK_MONOTONIC), seq = 0;
        if (due_us > mono_us) usleep(due_us - mono_us);
        seq = now_us(CLOCK_REALTIME);
        char *end = flush;
        for (int i = 0; i < events; i++) end = put_frame(end, event_bytes, seq);
        for (int i = 0; i < connections; i++) write_all(fds[i], flush, end - flush);
    }
}
