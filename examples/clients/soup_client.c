// A SoupBinTCP client that records a session completely. C11 and POSIX, no dependencies.
//
//     cc -O2 -o soup_client soup_client.c && ./soup_client HOST PORT [OUT.itch]
//
// Writes each message behind its length in 16 bits to OUT.itch (session.itch without it). User and
// password are taken from SOUP_USER and SOUP_PASSWORD. Exit codes: 0 the session is recorded up to
// its end, 1 it is not.
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define HEARTBEAT 1.0     // seconds without a packet of ours after which we send a heartbeat
#define SILENCE 5.0       // seconds without a packet of the exchange after which we give it up
#define TRIES 7           // connections in a row that bring no message
#define PACKET_MAX 65537  // bytes of the longest packet

// End of a connection, and what it means.
enum end { SESSION_ENDED, BROKEN, REFUSED };

struct connection {
    int socket;
    double sent, heard;         // times of the last packet of ours, and of the last byte of theirs
    size_t first, held;         // bytes that are read and not taken yet: bytes[first..held]
    uint8_t bytes[PACKET_MAX];
};

struct recording {
    FILE *file;
    char session[11];
    unsigned long long next;    // sequence of the next message that is not recorded
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static bool send_packet(struct connection *c, char kind, const char *payload, size_t length) {
    uint8_t packet[64] = {(uint8_t)((length + 1) >> 8), (uint8_t)(length + 1), (uint8_t)kind};
    if (length > 0) memcpy(packet + 3, payload, length);
    c->sent = now();
    for (size_t at = 0; at < length + 3;) {
        ssize_t count = send(c->socket, packet + at, length + 3 - at, MSG_NOSIGNAL);
        if (count <= 0) return false;
        at += (size_t)count;
    }
    return true;
}

// Connects and sends a login request.
static bool log_in(struct connection *c, const char *host, const char *port,
                   const struct recording *r) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *one;
    struct timeval limit = {.tv_sec = (time_t)SILENCE};
    *c = (struct connection){.socket = -1};
    if (getaddrinfo(host, port, &hints, &all) != 0) return false;
    for (one = all; one != NULL && c->socket < 0; one = one->ai_next) {
        int s = socket(one->ai_family, one->ai_socktype, one->ai_protocol);
        if (s < 0) continue;
        setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(s, one->ai_addr, one->ai_addrlen) == 0) c->socket = s;
        else close(s);
    }
    freeaddrinfo(all);
    if (c->socket < 0) return false;
    const char *user = getenv("SOUP_USER"), *password = getenv("SOUP_PASSWORD");
    char login[47];
    snprintf(login, sizeof login, "%-6.6s%-10.10s%10.10s%20llu", user ? user : "",
             password ? password : "", r->session, r->next);
    c->heard = now();
    return send_packet(c, 'L', login, 46);
}

// Adds the bytes of one read to those held, and sends a heartbeat when it is time.
static bool read_more(struct connection *c) {
    double at = now();
    if (at >= c->sent + HEARTBEAT && !send_packet(c, 'R', NULL, 0)) return false;
    if (at >= c->heard + SILENCE) return false;  // not even heartbeats arrive
    double beat = c->sent + HEARTBEAT, silent = c->heard + SILENCE;
    double wait = (beat < silent ? beat : silent) - at;
    struct pollfd ready = {.fd = c->socket, .events = POLLIN};
    if (poll(&ready, 1, wait > 0 ? (int)(wait * 1000) + 1 : 1) <= 0) return true;
    memmove(c->bytes, c->bytes + c->first, c->held - c->first);
    c->held -= c->first;
    c->first = 0;
    ssize_t count = recv(c->socket, c->bytes + c->held, sizeof c->bytes - c->held, 0);
    if (count <= 0) return false;
    c->held += (size_t)count;
    c->heard = now();
    return true;
}

// Returns the next packet from its type on, and its length; NULL if there is none. A packet may
// come in many reads, and a read may have many packets.
static const uint8_t *next_packet(struct connection *c, size_t *length) {
    for (;;) {
        const uint8_t *at = c->bytes + c->first;
        size_t held = c->held - c->first;
        *length = held < 2 ? 0 : (size_t)(at[0] << 8 | at[1]);
        if (held >= 2 && *length == 0) return NULL;  // nothing behind it can be read
        if (held >= 2 && held >= 2 + *length) {
            c->first += 2 + *length;
            return at + 2;
        }
        if (!read_more(c)) return NULL;
    }
}

// Takes the acceptance of a login. Returns false if the connection is of no use.
static bool accepted(struct recording *r, const uint8_t *payload, unsigned long long *sequence) {
    char session[11] = {0}, number[21] = {0};
    memcpy(session, payload, 10);
    memcpy(number, payload + 10, 20);
    const char *name = session + strspn(session, " ");
    *sequence = strtoull(number, NULL, 10);
    // Message 7 of another session is another message.
    if (r->session[0] != 0 && strcmp(r->session, name) != 0) return false;
    memmove(r->session, name, strlen(name) + 1);
    return *sequence >= 1 && *sequence <= r->next;
}

// Records the messages of a connection.
static enum end follow(struct connection *c, struct recording *r) {
    unsigned long long sequence = 0;  // of the next message on this connection; 0: not logged in
    const uint8_t *packet;
    size_t length;
    while ((packet = next_packet(c, &length)) != NULL) {
        if (packet[0] == 'A') {
            if (length != 31 || !accepted(r, packet + 1, &sequence)) return BROKEN;
        } else if (packet[0] == 'J') {
            return length == 2 && packet[1] == 'A' ? REFUSED : BROKEN;
        } else if (packet[0] == 'S' && sequence > 0) {
            // Messages from before the one that we expect are known already.
            if (sequence == r->next) {
                uint8_t before[2] = {(uint8_t)((length - 1) >> 8), (uint8_t)(length - 1)};
                fwrite(before, 1, 2, r->file);
                fwrite(packet + 1, 1, length - 1, r->file);
                r->next++;
            }
            sequence++;
        } else if (packet[0] == 'Z') {
            return SESSION_ENDED;
        }
        // Heartbeats, debug text, unsequenced messages and unknown types have no sequence.
    }
    return BROKEN;
}

int main(int argc, char **argv) {
    static struct connection c;
    struct recording r = {.next = 1};
    if (argc != 3 && argc != 4) return fprintf(stderr, "soup_client HOST PORT [OUT.itch]\n"), 2;
    r.file = fopen(argc == 4 ? argv[3] : "session.itch", "wb");
    if (r.file == NULL) return perror("fopen"), 1;
    enum end end = BROKEN;
    for (int fruitless = 0; end == BROKEN && fruitless < TRIES;) {
        unsigned long long before = r.next;
        if (log_in(&c, argv[1], argv[2], &r)) end = follow(&c, &r);
        if (c.socket >= 0) close(c.socket);
        fruitless = r.next > before ? 0 : fruitless + 1;
        double pause = 0.05 * (double)(1 << fruitless);
        if (end == BROKEN) rest(pause < 1.0 ? pause : 1.0);
    }
    bool complete = fclose(r.file) == 0 && end == SESSION_ENDED;
    printf("%s: %llu messages\n", complete ? "complete" : "INCOMPLETE", r.next - 1);
    return complete ? 0 : 1;
}
