/* A client that records a whole session. No dependencies.
 *
 *     cc -O2 -o client client.c && ./client [HOST] [PORT]
 *
 * Writes output.json. Exit codes: 0 complete, 3 incomplete (nothing is written), 5 unreachable. */

#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    PACKET = 17,         /* bytes */
    RESEND_MAX = 127,    /* the sequence of a resend call is one byte, which some read signed */
    SILENCE = 2,         /* seconds without a byte: the exchange has forgotten us */
    ATTEMPTS = 5,        /* connections without an answer, or streams without news, in a row */
    SEQUENCE_MAX = 65536 /* what there is room for */
};
static const double DOUBT = 1e-4; /* how likely may a packet beyond the last one be? */
static unsigned char packets[SEQUENCE_MAX + 1][PACKET]; /* by sequence; side 0 where missing */
static int highest, kept;
static const char *host = "127.0.0.1", *port = "3000";

static int32_t number(const unsigned char *at) {
    return (int32_t)((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

/* Keeps a packet if it is one and new. The first copy stays. */
static void keep(const unsigned char *frame) {
    int32_t seq = number(frame + 13);
    int side = frame[4] == 'B' || frame[4] == 'S';
    if (!side || seq < 1 || seq > SEQUENCE_MAX || packets[seq][4]) return;
    memcpy(packets[seq], frame, PACKET);
    kept++;
    if (seq > highest) highest = seq;
}

/* The first missing sequence from `seq` to `last`; 0 where there is none. */
static int missing(int seq, int last) {
    for (; seq <= last && seq < highest; seq++)
        if (!packets[seq][4]) return seq;
    return 0;
}

static int dial(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct timeval patience = {.tv_sec = SILENCE};
    int sock = -1;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    for (struct addrinfo *at = found; at && sock < 0; at = at->ai_next) {
        sock = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(sock, at->ai_addr, at->ai_addrlen) != 0) close(sock), sock = -1;
    }
    freeaddrinfo(found);
    return sock;
}

/* One connection: sends the calls and keeps the packets until the exchange ends it or, where it
 * fills gaps, none is left. Returns how many packets came, or -1 if nobody answered. */
static int talk(const unsigned char *calls, size_t size, int fills) {
    unsigned char held[4096]; /* half a packet belongs to its connection, and is gone with it */
    size_t have = 0;
    int count = 0, sock = dial();
    if (sock < 0) return -1;
    if (send(sock, calls, size, MSG_NOSIGNAL) == (ssize_t)size) {
        while (!(fills && !missing(1, RESEND_MAX))) {
            /* A read is not a packet: it may bring a part of one, or many. */
            ssize_t got = recv(sock, held + have, sizeof held - have, 0);
            if (got <= 0) break;
            size_t at = 0;
            for (have += (size_t)got; have - at >= PACKET; at += PACKET, count++) keep(held + at);
            memmove(held, held + at, have -= at);
        }
        /* Everything was read, so this closes without a reset. */
        shutdown(sock, SHUT_WR);
        while (recv(sock, held, sizeof held, 0) > 0) continue;
    }
    close(sock);
    return count;
}

/* Asks for what is missing, all at once on one connection, as long as that brings something. */
static void fill(void) {
    for (int before = -1; missing(1, RESEND_MAX) && kept > before;) {
        unsigned char calls[2 * RESEND_MAX];
        size_t size = 0;
        before = kept;
        for (int seq = 0; (seq = missing(seq + 1, RESEND_MAX)); size += 2)
            calls[size] = 2, calls[size + 1] = (unsigned char)seq;
        talk(calls, size, 1);
    }
}

/* Streams until nothing is missing and a later packet, dropped from every stream, is unlikely. */
static int record(void) {
    long streamed = 0;
    for (int pass = 1, dry = 0, unreachable = 0; dry < ATTEMPTS;) {
        int before = kept, count = talk((const unsigned char *)"\1", 2, 0);
        if (count < 0) {
            if (++unreachable == ATTEMPTS) return highest ? 3 : 5;
            sleep(1);
            continue;
        }
        unreachable = 0, streamed += count;
        fill();
        dry = kept > before ? 0 : dry + 1;
        /* The share of packets that streams lose, seen pessimistically; each loses its own. */
        double sent = (double)pass * highest, dropped = sent > streamed ? sent - streamed : 0, p = 1;
        for (int i = 0; i < pass; i++) p *= (dropped + 1) / (sent + 2);
        if (!missing(1, highest) && p < DOUBT) break;
        pass++;
    }
    return missing(1, highest) ? 3 : 0;
}

/* Absent, old or whole, whenever somebody looks. */
static int save(void) {
    FILE *out = fopen("output.json.partial", "w");
    if (!out) return 0;
    fprintf(out, "[");
    for (int seq = 1; seq <= highest; seq++) {
        const unsigned char *at = packets[seq];
        int length = 4;
        while (length > 0 && at[length - 1] == ' ') length--;
        fprintf(out, "%s\n  {\"symbol\": \"%.*s\", \"buySellIndicator\": \"%c\", ",
                seq > 1 ? "," : "", length, (const char *)at, at[4]);
        fprintf(out, "\"quantity\": %d, \"price\": %d, \"sequence\": %d}", number(at + 5),
                number(at + 9), seq);
    }
    fprintf(out, "\n]\n");
    return (fclose(out) == 0) & (rename("output.json.partial", "output.json") == 0);
}

int main(int argc, char **argv) {
    if (argc > 1 || getenv("BETACREW_HOST")) host = argc > 1 ? argv[1] : getenv("BETACREW_HOST");
    if (argc > 2 || getenv("BETACREW_PORT")) port = argc > 2 ? argv[2] : getenv("BETACREW_PORT");
    int code = record();
    if (code == 0 && !save()) code = 6;
    if (code == 0) printf("complete: %d packets in output.json\n", highest);
    if (code == 3) fprintf(stderr, "incomplete: packet %d cannot be had\n", missing(1, highest));
    if (code == 5) fprintf(stderr, "unreachable: no exchange answers at %s:%s\n", host, port);
    return code;
}
