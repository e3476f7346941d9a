// A MoldUDP64 receiver as it is often written: it works as long as nothing gets lost.
//
//     cc -o mold_naive mold_naive.c && ./mold_naive HOST PORT SERVER_PORT OUT.itch
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct header {
    char session[10];
    uint64_t sequence;
    uint16_t count;
} __attribute__((packed));

static uint64_t big_endian(uint64_t value) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[7 - i] = (uint8_t)(value >> (8 * i));
    memcpy(&value, bytes, 8);
    return value;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &here.sin_addr);
    struct sockaddr_in server = here;
    server.sin_port = htons((uint16_t)atoi(argv[3]));
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(s, (struct sockaddr *)&here, sizeof here) != 0) return 1;
    FILE *file = fopen(argv[4], "wb");
    static char datagram[65536];
    uint64_t expected = 1;
    for (;;) {
        ssize_t size = recv(s, datagram, sizeof datagram, 0);
        struct header *header = (struct header *)datagram;
        uint64_t sequence = big_endian(header->sequence);
        // Mistake: the session is not compared, and a heartbeat shows no gap.
        if (size < (ssize_t)sizeof *header || header->count == 0) continue;
        if (ntohs(header->count) == 0xFFFF) break;
        if (sequence > expected) {
            // Mistake: a gap is requested once, however many messages the answer has.
            struct header request = *header;
            request.sequence = big_endian(expected);
            request.count = htons((uint16_t)(sequence - expected));
            sendto(s, &request, sizeof request, 0, (struct sockaddr *)&server, sizeof server);
        }
        char *at = datagram + sizeof *header;
        for (int i = 0; i < ntohs(header->count); i++) {
            uint16_t length;
            memcpy(&length, at, 2);
            // Mistake: written as it arrives, each copy, and without a look at the lengths.
            fwrite(at, (size_t)ntohs(length) + 2, 1, file);
            at += ntohs(length) + 2;
        }
        if (sequence + ntohs(header->count) > expected) expected = sequence + ntohs(header->count);
    }
    fclose(file);
    // Mistake: always a success.
    return 0;
}
