/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of the DNS benchmark: what receiving and sending cost when nothing is thought of in
 * between. One thread, one UDP socket, recvmmsg (waits for one) and sendmmsg of 64, as a name
 * server with the same batching would do. It returns each query with QR set and as many octets
 * behind it as the answer would have had more than the query; it parses nothing.
 *
 *     bench_echo ADDRESS PORT EXTRA_OCTETS
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH        64
#define BUFFER_BYTES 1536
#define EXTRA_MAX    512
#define HEADER_BYTES 12
#define FLAG_QR      0x80
#define QUEUE_BYTES  (1 << 20) /* of the socket; as much as the other servers get */

static uint8_t buffers[BATCH][BUFFER_BYTES];
static struct sockaddr_in peers[BATCH];
static struct iovec in_iov[BATCH], out_iov[BATCH];
static struct mmsghdr in[BATCH], out[BATCH];

static int open_socket(const char *address, unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), queue = QUEUE_BYTES;

    if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
        errno = EINVAL;
    else if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue)) == 0 &&
             bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    fprintf(stderr, "bench_echo: %s port %u: %s\n", address, port, strerror(errno));
    return -1;
}

static unsigned echo_batch(unsigned count, unsigned extra)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned len = in[i].msg_len;
        if (len < HEADER_BYTES)
            continue;
        buffers[i][2] |= FLAG_QR;
        out_iov[n] = (struct iovec){buffers[i], len + extra};
        out[n].msg_hdr.msg_name = &peers[i];
        out[n].msg_hdr.msg_namelen = in[i].msg_hdr.msg_namelen;
        n++;
    }
    return n;
}

static void send_all(int fd, unsigned count)
{
    unsigned sent = 0;

    while (sent < count) {
        int n = sendmmsg(fd, out + sent, count - sent, MSG_DONTWAIT);
        if (n > 0)
            sent += (unsigned)n;
        else if (errno != EINTR)
            return; /* full: dropping is what UDP does */
    }
}

int main(int argc, char **argv)
{
    unsigned long extra = argc == 4 ? strtoul(argv[3], NULL, 10) : EXTRA_MAX + 1;
    int fd;

    if (extra > EXTRA_MAX) {
        fprintf(stderr, "usage: bench_echo ADDRESS PORT EXTRA_OCTETS (at most %d)\n", EXTRA_MAX);
        return 2;
    }
    fd = open_socket(argv[1], (unsigned)strtoul(argv[2], NULL, 10));
    if (fd < 0)
        return 1;
    for (unsigned i = 0; i < BATCH; i++) {
        in_iov[i] = (struct iovec){buffers[i], BUFFER_BYTES - EXTRA_MAX};
        in[i].msg_hdr =
            (struct msghdr){.msg_name = &peers[i], .msg_iov = &in_iov[i], .msg_iovlen = 1};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_iov[i], .msg_iovlen = 1};
    }
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++)
            in[i].msg_hdr.msg_namelen = sizeof(peers[i]);
        int got = recvmmsg(fd, in, BATCH, MSG_WAITFORONE, NULL);
        if (got > 0)
            send_all(fd, echo_batch((unsigned)got, (unsigned)extra));
    }
}
