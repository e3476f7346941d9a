// A MoldUDP64 handler that records a session completely. C11 and POSIX, no dependencies.
//
//     cc -O2 -o mold_handler mold_handler.c
//     ./mold_handler GROUP:PORT[,...] SERVER:PORT[,...] OUT.itch
//
// Receives the datagrams that are sent to GROUP:PORT, requests what is missing from SERVER:PORT,
// and writes each message to OUT.itch, behind its length in 16 bits. Several groups are lines of
// one session, and requests go to their servers in turn. Exit codes: 0 complete, 3 incomplete.
#define _DEFAULT_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_WAIT 0.05  // seconds until a request is sent again
#define GIVE_UP 5.0       // seconds in which nothing new arrives
#define END_STANDS 0.25   // seconds for which no message must follow the end of the session
enum {
    HEADER = 20,             // bytes: session, sequence of the first message, number of messages
    END_OF_SESSION = 0xFFFF,
    LINES = 8,
    IN_FLIGHT = 64,          // requests at once
    REQUEST_MAX = 1000,      // messages of a request
    FAR = 1000000            // a sequence this far away is a damaged one
};

static uint8_t session[10];
static bool has_session;
static uint8_t **messages;  // by sequence, each behind its length; NULL where missing
static uint64_t room, kept, by_request;
static uint64_t next = 1;   // sequence above the highest one known
static uint64_t lowest = 1; // sequence below which nothing is missing
static uint64_t end;        // sequence behind the last message of the session; 0: not known
static double ended_at;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static bool missing(uint64_t sequence) {
    return sequence >= room || messages[sequence] == NULL;
}

// Keeps a message if it is new. The first copy stays.
static void keep(uint64_t sequence, const uint8_t *block, size_t length, bool requested) {
    if (!missing(sequence)) return;
    if (sequence >= room) {
        uint64_t more = (sequence + 1) * 2;
        messages = realloc(messages, more * sizeof *messages);
        if (messages == NULL) abort();
        memset(messages + room, 0, (more - room) * sizeof *messages);
        room = more;
    }
    messages[sequence] = malloc(length);
    if (messages[sequence] == NULL) abort();
    memcpy(messages[sequence], block, length);
    kept++;
    by_request += requested;
}

// Takes a datagram of the session. What is damaged, or of another session, is ignored.
static void take(const uint8_t *datagram, size_t size, bool requested) {
    if (size < HEADER || (has_session && memcmp(session, datagram, sizeof session) != 0)) return;
    uint64_t sequence = number(datagram + 10, 8), count = number(datagram + 18, 2), there = 0;
    size_t at = HEADER;
    // The lengths must fill the datagram before any of them is believed.
    for (; count != END_OF_SESSION && there < count; there++) {
        if (at + 2 > size) return;
        at += 2 + number(datagram + at, 2);
    }
    if (at != size || sequence < 1 || sequence > next + FAR) return;
    memcpy(session, datagram, sizeof session);
    has_session = true;
    at = HEADER;
    for (uint64_t i = 0; i < there; i++) {
        size_t length = 2 + number(datagram + at, 2);
        keep(sequence + i, datagram + at, length, requested);
        at += length;
    }
    // A heartbeat and an end of session show the last messages, too.
    if (sequence + there > next) next = sequence + there;
    if (count == END_OF_SESSION && !requested && end != sequence) {
        end = sequence;
        ended_at = now();
    }
}

// Requests up to IN_FLIGHT gaps.
static void request(int socket, const struct sockaddr_in *server) {
    while (lowest < next && !missing(lowest)) lowest++;
    int requests = 0;
    for (uint64_t at = lowest; at < next && requests < IN_FLIGHT; at++) {
        uint64_t count = 0;
        while (at + count < next && missing(at + count) && count < REQUEST_MAX) count++;
        if (count == 0) continue;
        uint8_t datagram[HEADER];
        memcpy(datagram, session, sizeof session);
        for (int i = 0; i < 8; i++) datagram[10 + i] = (uint8_t)(at >> (56 - 8 * i));
        datagram[18] = (uint8_t)(count >> 8);
        datagram[19] = (uint8_t)count;
        sendto(socket, datagram, sizeof datagram, 0, (const void *)server, sizeof *server);
        requests++;
        at += count - 1;
    }
}

static bool is_complete(void) {
    // An end in the middle of the stream is a mistake: messages behind it disprove it.
    bool stands = end != 0 && end >= next && now() >= ended_at + END_STANDS;
    while (lowest < next && !missing(lowest)) lowest++;
    return stands && lowest == next;
}

// Reads addresses such as "239.1.2.3:30001,127.0.0.1:30002". Returns their number.
static int addresses(char *text, struct sockaddr_in *all) {
    int count = 0;
    for (char *one = strtok(text, ","); one && count < LINES; one = strtok(NULL, ",")) {
        char *port = strrchr(one, ':');
        if (port == NULL) return 0;
        *port = 0;
        all[count] = (struct sockaddr_in){.sin_family = AF_INET};
        all[count].sin_port = htons((uint16_t)atoi(port + 1));
        if (inet_pton(AF_INET, one, &all[count].sin_addr) != 1) return 0;
        count++;
    }
    return count;
}

// Opens a socket for the datagrams of a group, or of an address of this machine.
static int open_group(const struct sockaddr_in *address) {
    int group = socket(AF_INET, SOCK_DGRAM, 0), yes = 1, buffer = 4 << 20;
    setsockopt(group, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(group, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(group, (const void *)address, sizeof *address) != 0) return perror("bind"), -1;
    if (IN_MULTICAST(ntohl(address->sin_addr.s_addr))) {
        struct ip_mreq on_loopback = {address->sin_addr, {htonl(INADDR_LOOPBACK)}};
        setsockopt(group, IPPROTO_IP, IP_ADD_MEMBERSHIP, &on_loopback, sizeof on_loopback);
    }
    return group;
}

// Receives one datagram. Answers count only if they come from one of the servers.
static void receive(int socket, const struct sockaddr_in *servers, int count) {
    static uint8_t datagram[65536];
    struct sockaddr_in from = {0};
    socklen_t length = sizeof from;
    ssize_t size = recvfrom(socket, datagram, sizeof datagram, 0, (void *)&from, &length);
    bool known = count == 0;
    for (int i = 0; i < count; i++)
        known |= from.sin_port == servers[i].sin_port &&
                 from.sin_addr.s_addr == servers[i].sin_addr.s_addr;
    if (size > 0 && known) take(datagram, (size_t)size, count > 0);
}

int main(int argc, char **argv) {
    struct sockaddr_in groups[LINES], servers[LINES];
    struct pollfd sockets[LINES + 1];
    int lines = argc == 4 ? addresses(argv[1], groups) : 0;
    int count = argc == 4 ? addresses(argv[2], servers) : 0;
    if (lines == 0 || count == 0)
        return fprintf(stderr, "mold_handler GROUP:PORT[,...] SERVER:PORT[,...] OUT.itch\n"), 2;
    for (int i = 0; i <= lines; i++) {
        int s = i < lines ? open_group(&groups[i]) : socket(AF_INET, SOCK_DGRAM, 0);
        if (s < 0) return 1;
        sockets[i] = (struct pollfd){.fd = s, .events = POLLIN};
    }
    double new_at = now(), asked_at = 0;
    uint64_t known = 0, turn = 0;
    while (!is_complete() && now() < new_at + GIVE_UP) {
        poll(sockets, (nfds_t)lines + 1, (int)(ANSWER_WAIT * 1000));
        for (int i = 0; i <= lines; i++)
            if (sockets[i].revents & POLLIN) receive(sockets[i].fd, servers, i < lines ? 0 : count);
        if (kept > known) known = kept, new_at = now();
        if (has_session && now() >= asked_at + ANSWER_WAIT) {
            asked_at = now();
            request(sockets[lines].fd, &servers[turn++ % (uint64_t)count]);
        }
    }
    FILE *file = fopen(argv[3], "wb");
    if (file == NULL) return perror("fopen"), 1;
    for (uint64_t sequence = 1; sequence < next; sequence++)
        if (!missing(sequence))
            fwrite(messages[sequence], 1, 2 + number(messages[sequence], 2), file);
    bool complete = fclose(file) == 0 && is_complete();
    printf("%s: %llu of %llu messages, %llu by request\n", complete ? "complete" : "incomplete",
           (unsigned long long)kept, (unsigned long long)next - 1, (unsigned long long)by_request);
    return complete ? 0 : 3;
}
