// A SoupBinTCP client as it is often written: it works until something happens.
//
//     cc -o soup_naive soup_naive.c && ./soup_naive HOST PORT
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    int s = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    return connect(s, found->ai_addr, found->ai_addrlen) == 0 ? s : -1;
}

// Mistake: a read that ends inside a packet is the end.
static int read_all(int s, void *to, size_t length) {
    return recv(s, to, length, 0) == (ssize_t)length;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int s = connect_to(argv[1], argv[2]);
    if (s < 0) return 1;
    FILE *file = fopen("messages.itch", "wb");
    // Mistake: the fields of a login are padded with NUL bytes, and its sequence stands on the left.
    char login[49] = {0, 47, 'L'};
    memcpy(login + 3, "user", 4);
    memcpy(login + 9, "password", 8);
    login[29] = '1';
    send(s, login, sizeof login, 0);
    // Mistake: no heartbeats, no time limits, and no second connection.
    uint16_t length;
    static char packet[65536];
    while (read_all(s, &length, 2)) {
        length = ntohs(length);
        if (!read_all(s, packet, length)) break;
        // Mistake: unsequenced messages are taken for messages of the session.
        if (packet[0] != 'S' && packet[0] != 'U') continue;
        uint16_t bytes = htons(length - 1);
        fwrite(&bytes, 2, 1, file);
        fwrite(packet + 1, length - 1, 1, file);
    }
    fclose(file);
    // Mistake: always a success.
    return 0;
}
