/* SPDX-License-Identifier: Apache-2.0
 *
 * A wide-area network between network namespaces of one machine, in user space: a TUN device "wan0"
 * in each, and packets carried between them with delay, jitter, loss, duplication, and cuts that
 * may be one-way. Seeded; changed while it runs. For kernels without netem.
 *
 *   wan_link SEED NETNS=NUMBER…       NUMBER is the third octet of the site's
 * network 10.77.NUMBER.0/24
 *
 * Commands come on standard input, a line each, and each is answered by a line:
 *   link FROM TO [delay_us=N] [jitter_us=N] [loss_ppm=N] [dup_ppm=N] [cut=0|1]
 *   counts                            "taken N carried N lost N cut N overflow N waiting N"
 * It ends with standard input. Exit 77: not permitted here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SITES_MAX   32
#define PACKET_MAX  2048
#define WAITING_MAX 32768
#define NOT_ALLOWED 77

struct site {
    char netns[64];
    unsigned number;
    int fd;
};
struct line {
    uint32_t delay_us, jitter_us, loss_ppm, dup_ppm;
    int cut;
};
struct packet {
    uint64_t due_us, order;
    int to;
    uint16_t len;
    uint8_t bytes[PACKET_MAX];
};

static struct site sites[SITES_MAX];
static int sites_count;
static struct line lines[SITES_MAX][SITES_MAX];
static struct packet *heap[WAITING_MAX]; /* the earliest first */
static size_t waiting;
static uint64_t seed, order, taken, carried, lost, cut, overflow;

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint32_t draw(uint32_t below) /* splitmix64 */
{
    uint64_t z = (seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (uint32_t)(((z >> 32) * below) >> 32);
}

static int before(const struct packet *a, const struct packet *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void heap_put(struct packet *p)
{
    size_t i = waiting++;
    while (i > 0 && before(p, heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = p;
}

static struct packet *heap_take(void)
{
    struct packet *first = heap[0], *last = heap[--waiting];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= waiting)
            break;
        if (child + 1 < waiting && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], last))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return first;
}

static void send_later(const struct line *line, int to, const uint8_t *bytes, size_t len)
{
    struct packet *p = waiting < WAITING_MAX ? malloc(sizeof(*p)) : NULL;
    if (!p) {
        overflow++;
        return;
    }
    p->due_us = now_us() + line->delay_us + (line->jitter_us ? draw(line->jitter_us) : 0);
    p->order = order++;
    p->to = to;
    p->len = (uint16_t)len;
    memcpy(p->bytes, bytes, len);
    heap_put(p);
}

static void carry(int from, const uint8_t *bytes, size_t len)
{
    if (len < 20 || bytes[0] >> 4 != 4 || bytes[16] != 10 || bytes[17] != 77)
        return;
    for (int to = 0; to < sites_count; to++) {
        const struct line *line = &lines[from][to];
        if (sites[to].number != bytes[18])
            continue;
        taken++;
        if (line->cut) {
            cut++;
        } else if (draw(1000000) < line->loss_ppm) {
            lost++;
        } else {
            send_later(line, to, bytes, len);
            if (draw(1000000) < line->dup_ppm)
                send_later(line, to, bytes, len);
        }
        return;
    }
}

static void deliver_due(void)
{
    while (waiting && heap[0]->due_us <= now_us()) {
        struct packet *p = heap_take();
        if (write(sites[p->to].fd, p->bytes, p->len) == (ssize_t)p->len)
            carried++;
        else
            lost++;
        free(p);
    }
}

static int site_of(const char *name)
{
    for (int i = 0; i < sites_count; i++)
        if (strcmp(sites[i].netns, name) == 0)
            return i;
    return -1;
}

static int set_line(char *from, char *to, char *rest)
{
    int a = from ? site_of(from) : -1, b = to ? site_of(to) : -1;
    if (a < 0 || b < 0)
        return -1;
    struct line next = lines[a][b];
    char *more = NULL;
    for (char *word = strtok_r(rest, " ", &more); word; word = strtok_r(NULL, " ", &more)) {
        unsigned value = 0;
        char name[16];
        if (sscanf(word, "%15[a-z_]=%u", name, &value) != 2)
            return -1;
        if (strcmp(name, "delay_us") == 0)
            next.delay_us = value;
        else if (strcmp(name, "jitter_us") == 0)
            next.jitter_us = value;
        else if (strcmp(name, "loss_ppm") == 0)
            next.loss_ppm = value;
        else if (strcmp(name, "dup_ppm") == 0)
            next.dup_ppm = value;
        else if (strcmp(name, "cut") == 0)
            next.cut = value != 0;
        else
            return -1;
    }
    lines[a][b] = next;
    return 0;
}

static void command(char *text)
{
    char *more = NULL, *word = strtok_r(text, " ", &more);
    if (word && strcmp(word, "counts") == 0) {
        printf("taken %llu carried %llu lost %llu cut %llu overflow %llu waiting %zu\n",
               (unsigned long long)taken, (unsigned long long)carried, (unsigned long long)lost,
               (unsigned long long)cut, (unsigned long long)overflow, waiting);
    } else if (word && strcmp(word, "link") == 0) {
        char *from = strtok_r(NULL, " ", &more), *to = strtok_r(NULL, " ", &more),
             *rest = strtok_r(NULL, "", &more);
        char none[1] = "";
        puts(set_line(from, to, rest ? rest : none) ? "error: no such site or setting" : "ok");
    } else {
        puts("error: unknown command");
    }
    fflush(stdout);
}

static int read_commands(void)
{
    static char buf[4096];
    static size_t have;
    ssize_t n = read(STDIN_FILENO, buf + have, sizeof(buf) - 1 - have);
    if (n <= 0)
        return -1;
    have += (size_t)n;
    buf[have] = 0;
    char *end;
    while ((end = strchr(buf, '\n'))) {
        *end = 0;
        command(buf);
        have -= (size_t)(end + 1 - buf);
        memmove(buf, end + 1, have + 1);
    }
    return have < sizeof(buf) - 1 ? 0 : -1;
}

/* The device is made inside the namespace; its descriptor works from anywhere. */
static int open_site(struct site *site)
{
    char path[128];
    snprintf(path, sizeof(path), "/var/run/netns/%s", site->netns);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET))
        return -1;
    close(ns);
    struct ifreq req = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(req.ifr_name, sizeof(req.ifr_name), "wan0");
    site->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return site->fd < 0 ? -1 : ioctl(site->fd, TUNSETIFF, &req);
}

static int open_sites(int argc, char **argv)
{
    for (int i = 2; i < argc && sites_count < SITES_MAX; i++) {
        struct site *site = &sites[sites_count++];
        if (sscanf(argv[i], "%63[^=]=%u", site->netns, &site->number) != 2 || open_site(site)) {
            fprintf(stderr, "wan_link: %s: %s\n", argv[i], strerror(errno));
            return errno == EPERM || errno == EACCES || errno == ENOENT ? NOT_ALLOWED : 1;
        }
    }
    return 0;
}

static void run(void)
{
    struct pollfd fds[SITES_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    uint8_t bytes[PACKET_MAX];
    for (int i = 0; i < sites_count; i++)
        fds[i + 1] = (struct pollfd){.fd = sites[i].fd, .events = POLLIN};
    for (;;) {
        struct timespec wait = {1, 0};
        if (waiting) {
            uint64_t now = now_us(), us = heap[0]->due_us > now ? heap[0]->due_us - now : 0;
            wait = (struct timespec){(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
        }
        if (ppoll(fds, (nfds_t)sites_count + 1, &wait, NULL) < 0 && errno != EINTR)
            return;
        deliver_due();
        if (fds[0].revents && read_commands())
            return;
        for (int i = 0; i < sites_count; i++) {
            ssize_t n = 1;
            for (int k = 0; k < 64 && n > 0; k++) {
                n = read(sites[i].fd, bytes, sizeof(bytes));
                if (n > 0)
                    carry(i, bytes, (size_t)n);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: wan_link SEED NETNS=NUMBER NETNS=NUMBER…\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    int rc = open_sites(argc, argv);
    if (rc)
        return rc;
    puts("ready");
    fflush(stdout);
    run();
    return 0;
}
